//! What is to be set up at Google Workspace.

use super::{Setup, Values};

/// The inbound gateway setting, by which Gmail looks for the sender's address behind that of the gateway.
pub(super) fn inbound_gateway(values: &Values<'_>) -> Setup {
    let addresses = values.listed(|_| true, "\n     ");
    let about = values.about_addresses();
    let hostname = &values.snapshot.hostname;
    let text = format!(
        "In admin.google.com: Apps, Google Workspace, Gmail, Spam, Phishing and Malware, Inbound gateway, Configure.

1. Gateway IPs, Add:
     {addresses}
   Google takes public addresses only.
2. Tick \"Automatically detect external IP\": SPF and DMARC are then judged by the sender's address, not the gateway's.
3. Tick \"Require TLS for connections from the email gateways listed above\": the relay always uses it.
4. Save. When the MX of your domains is {hostname} and nothing else, tick \"Reject all mail not from gateway IPs\":
   until then mail that still comes by the old MX would be refused.
{about}"
    );
    Setup { title: "To set up at Google Workspace".to_owned(), text }
}
