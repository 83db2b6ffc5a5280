//! The presets: what is known of each provider, as a table.

use crate::config::model::relays as model;
use crate::limits::{
    GOOGLE_MESSAGE_BYTES_MAX, SES_MESSAGE_BYTES_MAX, SES_RECIPIENTS_MAX, SUBMISSION_CONNECTIONS, SUBMISSION_MESSAGES_PER_MINUTE,
    SUBMISSION_RECIPIENTS_PER_DAY,
};
use crate::relay::{Preset, Provider, RelayLimits, TlsMode};

/// What is known of a provider's hosts.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) preset: Preset,
    pub(super) hosts: Hosts,
    pub(super) port: u16,
    /// The weakest TLS that it may be spoken to with, which is also what is used unless said.
    pub(super) tls: TlsMode,
    /// Whether it also takes TLS from the first byte, on port 465.
    pub(super) implicit: bool,
    pub(super) provider: Provider,
    pub(super) login: Login,
    /// Whether it knows the gateway by its IPv4 address, unless the gateway shows it a certificate.
    pub(super) by_ipv4: bool,
    pub(super) limits: fn() -> RelayLimits,
}

/// Where a provider's hosts are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// One for all.
    Fixed(&'static str),
    /// One for each domain at Microsoft 365.
    MicrosoftDomain,
    /// One for each AWS region.
    SesRegion,
}

impl Hosts {
    /// The ends that names of such hosts have.
    pub(super) fn endings(&self, preset: Preset) -> &'static [&'static str] {
        match (self, preset) {
            (Self::MicrosoftDomain, _) => &[".mail.protection.outlook.com", ".mx.microsoft"],
            (Self::SesRegion, _) => &[".amazonaws.com", ".amazonaws.com.cn", ".api.aws"],
            (Self::Fixed(_), Preset::GoogleWorkspace) => &[".google.com", ".googlemail.com"],
            (Self::Fixed(_), _) => &[".office365.com"],
        }
    }
}

/// How a provider's hosts want to be logged in at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// They offer no AUTH: the gateway is known by its address or its certificate.
    Never,
    /// With a user name and a password.
    Password,
    /// With a password or with an access token.
    PasswordOrToken,
}

/// All presets. Limits that are not named are those of any relay.
const TABLE: &[Facts] = &[
    Facts {
        preset: Preset::GoogleWorkspace,
        hosts: Hosts::Fixed("aspmx.l.google.com"),
        port: 25,
        tls: TlsMode::Required,
        implicit: false,
        provider: Provider::Google,
        login: Login::Never,
        by_ipv4: false,
        // More than one domain is answered with 451 4.3.0.
        limits: || RelayLimits { message_bytes: Some(GOOGLE_MESSAGE_BYTES_MAX), ..one_domain() },
    },
    Facts {
        preset: Preset::Microsoft365,
        hosts: Hosts::MicrosoftDomain,
        port: 25,
        tls: TlsMode::Required,
        implicit: false,
        provider: Provider::Microsoft,
        login: Login::Never,
        by_ipv4: true,
        limits: one_domain,
    },
    Facts {
        preset: Preset::Microsoft365Submission,
        hosts: Hosts::Fixed("smtp.office365.com"),
        port: 587,
        tls: TlsMode::Verify,
        implicit: false,
        provider: Provider::Microsoft,
        login: Login::PasswordOrToken,
        by_ipv4: false,
        limits: || RelayLimits {
            connections: SUBMISSION_CONNECTIONS,
            messages_per_minute: Some(SUBMISSION_MESSAGES_PER_MINUTE),
            recipients_per_day: Some(SUBMISSION_RECIPIENTS_PER_DAY),
            ..RelayLimits::default()
        },
    },
    Facts {
        preset: Preset::Microsoft365Connector,
        hosts: Hosts::MicrosoftDomain,
        port: 25,
        tls: TlsMode::Required,
        implicit: false,
        provider: Provider::Microsoft,
        login: Login::Never,
        by_ipv4: true,
        // The connector is found by the domains of the envelope.
        limits: one_domain,
    },
    Facts {
        preset: Preset::Microsoft365DirectSend,
        hosts: Hosts::MicrosoftDomain,
        port: 25,
        tls: TlsMode::Required,
        implicit: false,
        provider: Provider::Microsoft,
        login: Login::Never,
        by_ipv4: true,
        limits: one_domain,
    },
    Facts {
        preset: Preset::SesSmtp,
        hosts: Hosts::SesRegion,
        port: 587,
        tls: TlsMode::Verify,
        implicit: true,
        provider: Provider::Ses,
        login: Login::Password,
        by_ipv4: false,
        limits: || RelayLimits {
            recipients_per_message: SES_RECIPIENTS_MAX,
            message_bytes: Some(SES_MESSAGE_BYTES_MAX),
            ..RelayLimits::default()
        },
    },
];

fn one_domain() -> RelayLimits {
    RelayLimits { one_domain_per_message: true, ..RelayLimits::default() }
}

/// What is known of a preset.
pub(super) fn facts(preset: model::Preset) -> Option<&'static Facts> {
    let wanted = match preset {
        model::Preset::GoogleWorkspace => Preset::GoogleWorkspace,
        model::Preset::Microsoft365 => Preset::Microsoft365,
        model::Preset::Microsoft365Submission => Preset::Microsoft365Submission,
        model::Preset::Microsoft365Connector => Preset::Microsoft365Connector,
        model::Preset::Microsoft365DirectSend => Preset::Microsoft365DirectSend,
        model::Preset::SesSmtp => Preset::SesSmtp,
    };
    TABLE.iter().find(|facts| facts.preset == wanted)
}

/// The host of Amazon SES in a region. `None`: no region is called that.
pub(super) fn ses_host(region: &str) -> Option<String> {
    let mut parts = region.split('-');
    let words = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let number = parts.next_back().is_some_and(|part| matches!(part.as_bytes(), [b'1'..=b'9']));
    let is_region = number && parts.clone().count() >= 2 && parts.all(words);
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    is_region.then(|| format!("email-smtp.{region}.{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_regions() {
        for (region, host) in [
            ("eu-central-1", Some("email-smtp.eu-central-1.amazonaws.com")),
            ("us-gov-west-1", Some("email-smtp.us-gov-west-1.amazonaws.com")),
            ("cn-north-1", Some("email-smtp.cn-north-1.amazonaws.com.cn")),
            ("eu-central", None),
            ("EU-CENTRAL-1", None),
            ("frankfurt", None),
            ("eu-1", None),
            ("eu--1", None),
            ("eu-central-1.evil.example", None),
            ("", None),
        ] {
            assert_eq!(ses_host(region).as_deref(), host, "{region}");
        }
    }

    #[test]
    fn each_preset_has_its_facts() {
        for preset in [
            model::Preset::GoogleWorkspace,
            model::Preset::Microsoft365,
            model::Preset::Microsoft365Submission,
            model::Preset::Microsoft365Connector,
            model::Preset::Microsoft365DirectSend,
            model::Preset::SesSmtp,
        ] {
            let facts = facts(preset).unwrap();
            // Whoever is shown credentials proves who it is.
            assert!(facts.login == Login::Never || facts.tls == TlsMode::Verify, "{preset:?}");
        }
    }
}
