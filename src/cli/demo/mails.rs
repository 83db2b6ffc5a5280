//! The messages of the demonstration, each with what it is to show.

use std::net::{IpAddr, Ipv4Addr};

use super::client::Mail;
use super::report::Trail;

/// The stand-in for Google turns this recipient away once.
pub(super) const BUSY: &str = "busy@acme.example";
/// No next hop has this recipient.
pub(super) const UNKNOWN: &str = "nobody@acme.example";

/// A message and what is to come of it.
pub(super) struct Scenario {
    pub(super) title: &'static str,
    /// As whom the gateway sees the client.
    pub(super) client: IpAddr,
    pub(super) mail: Mail,
    /// How the reply begins.
    reply: &'static str,
    /// `recipient outcome`, for every recipient that got as far.
    outcomes: &'static [&'static str],
}

impl Scenario {
    pub(super) fn is_met(&self, reply: &str, trail: &Trail) -> bool {
        let mut outcomes = trail.outcomes();
        outcomes.sort();
        reply.starts_with(self.reply) && outcomes == self.outcomes
    }
}

const PARTNER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 25));
const GMAIL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));
const LISTED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// The addresses on loopback that clients connect from, and whom the gateway takes them for.
pub(super) const CLIENTS: [(Ipv4Addr, IpAddr); 3] =
    [(Ipv4Addr::new(127, 0, 0, 25), PARTNER), (Ipv4Addr::new(127, 0, 0, 66), GMAIL), (Ipv4Addr::new(127, 0, 0, 7), LISTED)];

/// The local address of a client.
pub(super) fn source(client: IpAddr) -> IpAddr {
    CLIENTS.iter().find(|(_, presented)| *presented == client).map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |(local, _)| IpAddr::V4(*local))
}

/// All of them, in the order in which they are sent.
pub(super) fn scenarios() -> Vec<Scenario> {
    let alice = "alice@partner.example";
    vec![
        Scenario {
            title: "Allowed, and relayed to Google without credentials",
            client: PARTNER,
            mail: mail(alice, &["bob@acme.example"], "Lunch on Friday?"),
            reply: "250",
            outcomes: &["bob@acme.example delivered"],
        },
        Scenario {
            title: "Refused by IP address when it connects",
            client: LISTED,
            mail: mail("mallory@spam.example", &["bob@acme.example"], "You have won"),
            reply: "554",
            outcomes: &[],
        },
        Scenario {
            title: "Refused by recipient: not a domain of this gateway",
            client: PARTNER,
            mail: mail(alice, &["someone@elsewhere.example"], "Please pass this on"),
            reply: "550",
            outcomes: &[],
        },
        Scenario {
            title: "Refused by recipient: on the list of blocked recipients",
            client: PARTNER,
            mail: mail(alice, &["former.employee@acme.example"], "Are you still there?"),
            reply: "550",
            outcomes: &[],
        },
        Scenario {
            title: "Too large: refused before a single octet of it is sent",
            client: PARTNER,
            mail: Mail { declared: Some(60 * 1024 * 1024), ..mail(alice, &["bob@acme.example"], "All my holiday pictures") },
            reply: "552",
            outcomes: &[],
        },
        Scenario {
            title: "Dropped: the sender is on the deny list",
            client: PARTNER,
            mail: mail("newsletter@spam.example", &["bob@acme.example"], "Weekly offers"),
            reply: "250",
            outcomes: &["bob@acme.example dropped"],
        },
        Scenario {
            title: "From gmail.com: to the Exchange server, with a password over TLS",
            client: GMAIL,
            mail: Mail { helo: "mail-wr1.gmail.com", ..mail("carol@gmail.com", &["bob@acme.example"], "The report you asked for") },
            reply: "250",
            outcomes: &["bob@acme.example delivered"],
        },
        Scenario {
            title: "Tagged: header added and subject prefixed, then relayed",
            client: PARTNER,
            mail: mail("billing@partner.example", &["bob@acme.example"], "Invoice 2026-118"),
            reply: "250",
            outcomes: &["bob@acme.example delivered"],
        },
        Scenario {
            title: "Forked: one message, two recipients, two next hops",
            client: PARTNER,
            mail: mail(alice, &["bob@acme.example", "dora@acme.org"], "Minutes of the meeting"),
            reply: "250",
            outcomes: &["bob@acme.example delivered", "dora@acme.org delivered"],
        },
        Scenario {
            title: "Rejected in the dialogue: an executable attachment",
            client: PARTNER,
            mail: Mail { text: with_attachment(alice, "bob@acme.example", "setup.exe"), ..mail(alice, &["bob@acme.example"], "") },
            reply: "550",
            outcomes: &["bob@acme.example rejected"],
        },
        Scenario {
            title: "Forged: another host says that it is partner.example",
            client: GMAIL,
            mail: Mail { helo: "mail.forger.example", ..mail(alice, &["bob@acme.example"], "Please change our bank account") },
            reply: "550",
            outcomes: &["bob@acme.example rejected"],
        },
        Scenario {
            title: "Refused by the next hop: the sender hears its words at once",
            client: PARTNER,
            mail: mail(alice, &[UNKNOWN], "To whom it may concern"),
            reply: "550",
            outcomes: &["nobody@acme.example rejected"],
        },
        Scenario {
            title: "Turned away for now by the next hop, delivered by the retry",
            client: PARTNER,
            mail: mail(alice, &[BUSY], "When you have a minute"),
            reply: "250",
            outcomes: &["busy@acme.example delivered"],
        },
    ]
}

fn mail(from: &'static str, to: &'static [&'static str], subject: &str) -> Mail {
    let recipients = to.join(", ");
    let text = format!("From: <{from}>\r\nTo: {recipients}\r\nSubject: {subject}\r\n\r\nHello,\r\nthis is a demonstration.\r\n");
    Mail { helo: "mail.partner.example", from, to, declared: None, text }
}

fn with_attachment(from: &str, to: &str, file: &str) -> String {
    format!(
        "From: <{from}>\r\nTo: {to}\r\nSubject: Try this\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nJust start it.\r\n\
         --b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"{file}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\nTVo=\r\n--b--\r\n"
    )
}
