//! What is to be set up at Microsoft 365: commands for Exchange Online PowerShell, and what Microsoft Entra has to know.

use std::net::IpAddr;

use super::{Setup, Values};
use crate::relay::{Auth, OAuthProof, Preset};

const SPF_OF_MICROSOFT: &str = "spf.protection.outlook.com";

/// For a relay made from one of the presets.
pub(super) fn setup(values: &Values<'_>) -> Option<Setup> {
    let text = match values.relay.preset? {
        Preset::Microsoft365 => incoming(values),
        Preset::Microsoft365Connector => connector(values),
        Preset::Microsoft365DirectSend => direct_send(values),
        Preset::Microsoft365Submission => submission(values),
        Preset::GoogleWorkspace | Preset::SesSmtp => return None,
    };
    Some(Setup { title: "To set up at Microsoft 365".to_owned(), text })
}

/// How a connector knows the gateway. Addresses are IPv4 alone, one by one or as networks from /24 to /32.
fn identity(values: &Values<'_>) -> (String, &'static str) {
    if values.relay.client_certificate.is_some() {
        ("-TlsSenderCertificateName 'CERTIFICATE-NAME'".to_owned(), "-RestrictDomainsToCertificate $true")
    } else {
        (format!("-SenderIPAddresses {}", ipv4(values)), "-RestrictDomainsToIPAddresses $true")
    }
}

fn ipv4(values: &Values<'_>) -> String {
    values.listed(IpAddr::is_ipv4, ",")
}

fn about(values: &Values<'_>) -> String {
    let certificate = if values.relay.client_certificate.is_some() {
        "\nCERTIFICATE-NAME stands for the name in the relay's `client_certificate`, which a public CA must have issued.\n"
    } else {
        ""
    };
    format!("{certificate}{}", values.about_addresses())
}

fn incoming(values: &Values<'_>) -> String {
    let (identity, restrict) = identity(values);
    let name = quoted(&format!("gateway {}", values.snapshot.hostname));
    let (addresses, about) = (ipv4(values), about(values));
    format!(
        "In Exchange Online PowerShell (Connect-ExchangeOnline):

# Mail from the gateway comes by a connector of its own, which knows it and asks for TLS.
New-InboundConnector -Name {name} -ConnectorType Partner -SenderDomains '*' {identity} -RequireTls $true -CloudServicesMailEnabled $false

# Enhanced filtering: the sender is the one before the gateway. For the whole organisation.
Set-InboundConnector -Identity {name} -EFSkipLastIP $true

# The gateway's own address is no spammer, whatever passes through it.
Set-HostedConnectionFilterPolicy -Identity Default -IPAllowList @{{Add='{}'}}
Set-HostedContentFilterPolicy -Identity Default -MarkAsSpamSpfRecordHardFail Off

# When the MX of your domains is {} and nothing else: nobody else may deliver (550 5.7.51 to all others).
Set-InboundConnector -Identity {name} {restrict}

Without the connector, mail whose envelope sender is one of your own domains is refused (550 5.7.68) once
`Get-OrganizationConfig | Format-List RejectDirectSend` says True.
{about}",
        addresses.replace(',', "','"),
        values.snapshot.hostname
    )
}

fn connector(values: &Values<'_>) -> String {
    let (identity, _) = identity(values);
    let name = quoted(&format!("gateway {} outgoing", values.snapshot.hostname));
    let (spf, about) = (values.spf(SPF_OF_MICROSOFT), about(values));
    format!(
        "In Exchange Online PowerShell (Connect-ExchangeOnline):

# A connector from \"your organization's email server\": it alone may send to the internet.
New-InboundConnector -Name {name} -ConnectorType OnPremises -SenderDomains '*' {identity} -CloudServicesMailEnabled $false

The connector is found by the domain in the certificate, then by that of MAIL FROM: it must be an accepted domain of the tenant.
An address that other tenants' senders share, or a certificate for a domain that is not accepted, does not do.

In the DNS of each domain that sends:

  TXT  {spf}
{about}"
    )
}

fn direct_send(values: &Values<'_>) -> String {
    let name = quoted(&format!("gateway {}", values.snapshot.hostname));
    let (addresses, spf, about) = (ipv4(values), values.spf(SPF_OF_MICROSOFT), about(values));
    format!(
        "Direct send reaches recipients of the own tenant only: let the rules send nobody else's mail there.

In the DNS of each domain that sends:

  TXT  {spf}

In Exchange Online PowerShell (Connect-ExchangeOnline):

Get-OrganizationConfig | Format-List RejectDirectSend

# If that says True, mail from your own domains needs a connector (550 5.7.68 without it):
New-InboundConnector -Name {name} -ConnectorType Partner -SenderDomains '*' -SenderIPAddresses {addresses} -RequireTls $true
{about}"
    )
}

fn submission(values: &Values<'_>) -> String {
    let spf = format!("v=spf1 include:{SPF_OF_MICROSOFT} ~all");
    let login = match &values.relay.auth {
        Some(Auth::OAuth(oauth)) => {
            let (application, mailbox) = (quoted(&oauth.client_id), quoted(&oauth.user));
            format!(
                "In Microsoft Entra, for the application {}:

1. API permissions: \"Office 365 Exchange Online\", application permission SMTP.SendAsApp; grant admin consent.
2. Certificates & secrets: {}.
3. Enterprise applications: note the object id of the application there. It is not that of the app registration.

In Exchange Online PowerShell (Connect-ExchangeOnline):

New-ServicePrincipal -AppId {application} -ObjectId 'OBJECT-ID'
Add-MailboxPermission -Identity {mailbox} -User 'OBJECT-ID' -AccessRights FullAccess
Set-CASMailbox -Identity {mailbox} -SmtpClientAuthenticationDisabled $false",
                oauth.client_id,
                proof(&oauth.proof)
            )
        }
        _ => "In Exchange Online PowerShell (Connect-ExchangeOnline):

Set-CASMailbox -Identity 'MAILBOX' -SmtpClientAuthenticationDisabled $false

MAILBOX stands for the user name in the relay's secret. The mailbox needs a licence, and the login fails under Security Defaults.
At the end of December 2026 Microsoft switches logins with passwords off by default; `oauth` is not concerned by that."
            .to_owned(),
    };
    format!(
        "{login}

The envelope sender must be the mailbox, or an address that it may send as (554 5.2.252 otherwise).

In the DNS of each domain that sends:

  TXT  {spf}
"
    )
}

/// For a relay that speaks Microsoft Graph.
pub(super) fn graph(values: &Values<'_>) -> Option<Setup> {
    let Some(Auth::OAuth(oauth)) = &values.relay.auth else { return None };
    let (application, mailbox) = (quoted(&oauth.client_id), quoted(&oauth.user));
    let filter = quoted(&format!("PrimarySmtpAddress -eq {mailbox}"));
    let scope = quoted(&format!("gateway {}", values.relay.name));
    let text = format!(
        "In Microsoft Entra, for the application {}:

1. Certificates & secrets: {}.
2. Enterprise applications: note the object id of the application there. It is not that of the app registration.

In Exchange Online PowerShell (Connect-ExchangeOnline), so that the application may send as this mailbox and no other:

New-ServicePrincipal -AppId {application} -ObjectId 'OBJECT-ID' -DisplayName 'gateway'
New-ManagementScope -Name {scope} -RecipientRestrictionFilter {filter}
New-ManagementRoleAssignment -App 'OBJECT-ID' -Role 'Application Mail.Send' -CustomResourceScope {scope}

Do not grant the application permission Mail.Send in Entra besides: it is for every mailbox of the tenant.
",
        oauth.client_id,
        proof(&oauth.proof)
    );
    Some(Setup { title: "To set up at Microsoft Entra and Exchange Online".to_owned(), text })
}

fn proof(proof: &OAuthProof) -> String {
    match proof {
        OAuthProof::Secret(place) => format!("a new client secret, for the {place}; it ends after 24 months at most"),
        OAuthProof::Certificate(place) => format!("upload the certificate of the {place}, without its private key"),
    }
}

/// A literal of PowerShell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
