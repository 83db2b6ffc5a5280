//! What conditions ask: the values of attributes, and the conditions judged with them.

use std::cell::OnceCell;
use std::rc::Rc;

use super::group::{Answer, Group, Member};
use super::test::Value;
use super::{
    AttachmentPart, CertificateAttribute, Condition, Flag, IpTest, NumberAttribute, NumberOperator, Rule, Template, TemplatePart,
    TextAttribute, TextTest,
};
use crate::message::{ClientCertificate, Envelope, Mailbox, MailboxField, Original, SessionFacts, Text};
use crate::smtp::ReversePath;

/// A message that is judged by a rule set.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Who brought it.
    pub session: &'a SessionFacts,
    /// From whom and to whom.
    pub envelope: &'a Envelope,
    /// The message as it was received.
    pub original: &'a Original,
}

/// What of an address in the header is looked at.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// The address as it stands there.
    Shown,
    /// The address in all its spellings.
    Addresses,
    /// And the display name.
    AddressesAndNames,
}

/// The facts of a message; texts are folded at most once.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) message: Message<'a>,
    mail_from: OnceCell<Text>,
    helo: OnceCell<Text>,
    client_host: OnceCell<Option<Text>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(message: Message<'a>) -> Self {
        Self { message, mail_from: OnceCell::new(), helo: OnceCell::new(), client_host: OnceCell::new() }
    }

    /// For which members of the group the rule matches. What does not depend on the recipient is judged once.
    pub(super) fn matching(&self, rule: &Rule, group: &Group<'_>) -> Answer {
        let when = self.all(&rule.when, group);
        if when == Answer::None || rule.unless.is_empty() { when } else { when.and(self.any(&rule.unless, group).not()) }
    }

    /// The text of a template for the first member of the group: whoever gets a text with a recipient in it must be alone.
    pub(super) fn render(&self, template: &Template, group: &Group<'_>) -> String {
        template.render(|part, out| match part {
            TemplatePart::Text(text) => out.push_str(text),
            TemplatePart::SourceIp => out.push_str(&self.message.session.client_ip.to_string()),
            TemplatePart::MessageSize => out.push_str(&self.message.original.len().to_string()),
            TemplatePart::Attribute(attribute) => {
                let mut separator = "";
                self.find(*attribute, group, group.members.first(), Look::Shown, &mut |value| {
                    out.push_str(std::mem::replace(&mut separator, ", "));
                    out.push_str(value.plain());
                    false
                });
            }
        })
    }

    fn all(&self, conditions: &[Condition], group: &Group<'_>) -> Answer {
        let mut answer = Answer::All;
        for condition in conditions {
            answer = answer.and(self.judge(condition, group));
            if answer == Answer::None {
                break;
            }
        }
        answer
    }

    fn any(&self, conditions: &[Condition], group: &Group<'_>) -> Answer {
        let mut answer = Answer::None;
        for condition in conditions {
            answer = answer.or(self.judge(condition, group));
            if answer == Answer::All {
                break;
            }
        }
        answer
    }

    fn judge(&self, condition: &Condition, group: &Group<'_>) -> Answer {
        match condition {
            Condition::Any(conditions) => self.any(conditions, group),
            Condition::All(conditions) => self.all(conditions, group),
            Condition::Not(condition) => self.judge(condition, group).not(),
            Condition::Text(attribute, test) if attribute.depends_on_recipient() => {
                group.members.iter().map(|member| self.text(*attribute, test, group, Some(member))).collect()
            }
            Condition::Text(attribute, test) => self.text(*attribute, test, group, None).into(),
            Condition::Header(name, test) => test.holds(group.view.header(name).iter().map(Value::Text)).into(),
            Condition::Attachment(part, test) => attachment(*part, test, group).into(),
            Condition::ClientCertificate(attribute, test) => self.certificate(*attribute, test).into(),
            Condition::Number(attribute, operator, values) => operator.holds(self.number(*attribute), values).into(),
            Condition::SourceIp(test) => test.holds(self.message.session.client_ip).into(),
            Condition::Flag(flag, wanted) => (self.flag(*flag, group) == *wanted).into(),
            // No verdict is known, so no word fits.
            Condition::Verdict { negated, .. } => (*negated).into(),
        }
    }

    fn text(&self, attribute: TextAttribute, test: &TextTest, group: &Group<'_>, member: Option<&Member>) -> bool {
        let look = if test.reads_display_names() { Look::AddressesAndNames } else { Look::Addresses };
        test.outcome(self.find(attribute, group, member, look, &mut |value| test.fits(value)))
    }

    /// Whether `fits` says so of any value of the attribute; no value is shown to it after the first that does.
    fn find(
        &self,
        attribute: TextAttribute,
        group: &Group<'_>,
        member: Option<&Member>,
        look: Look,
        fits: &mut dyn FnMut(Value<'_>) -> bool,
    ) -> bool {
        let mailboxes = |field| group.view.mailboxes(field).iter();
        let texts = |texts: Rc<[Text]>, fits: &mut dyn FnMut(Value<'_>) -> bool| texts.iter().map(Value::Text).any(fits);
        match attribute {
            TextAttribute::MailFrom => fits(Value::Text(self.mail_from())),
            TextAttribute::MailFromDomain => domain(self.mail_from()).is_some_and(|domain| fits(Value::Folded(domain))),
            TextAttribute::Helo => {
                let helo = self.helo.get_or_init(|| Text::new(&*self.message.session.helo));
                !helo.plain().is_empty() && fits(Value::Text(helo))
            }
            TextAttribute::ClientHost => {
                let host = self.client_host.get_or_init(|| self.message.session.client_host.as_deref().map(Text::new));
                host.as_ref().is_some_and(|host| fits(Value::Text(host)))
            }
            TextAttribute::Recipient => member.is_some_and(|member| fits(Value::Text(member.text()))),
            TextAttribute::RecipientBase => member.is_some_and(|member| fits(Value::Text(member.base()))),
            TextAttribute::RecipientDomain => {
                member.and_then(|member| domain(member.text())).is_some_and(|domain| fits(Value::Folded(domain)))
            }
            TextAttribute::Sender => mailboxes(MailboxField::Sender).any(|mailbox| mailbox_fits(mailbox, look, fits)),
            TextAttribute::From => mailboxes(MailboxField::From).any(|mailbox| mailbox_fits(mailbox, look, fits)),
            TextAttribute::To => mailboxes(MailboxField::To).any(|mailbox| mailbox_fits(mailbox, look, fits)),
            TextAttribute::Cc => mailboxes(MailboxField::Cc).any(|mailbox| mailbox_fits(mailbox, look, fits)),
            TextAttribute::FromDomain => match look {
                Look::Shown => mailboxes(MailboxField::From).filter_map(Mailbox::domain).map(Value::Folded).any(fits),
                _ => mailboxes(MailboxField::From).flat_map(Mailbox::domains).map(Value::Folded).any(fits),
            },
            TextAttribute::Subject => texts(group.view.header("Subject"), fits),
            TextAttribute::MessageId => group.view.message_ids().iter().map(Value::Text).any(fits),
        }
    }

    fn mail_from(&self) -> &Text {
        self.mail_from.get_or_init(|| match &self.message.envelope.reverse_path {
            ReversePath::Null => Text::default(),
            ReversePath::Address(address) => Text::new(&*address.canonical()),
        })
    }

    fn certificate(&self, attribute: CertificateAttribute, test: &TextTest) -> bool {
        let certificate = self.message.session.tls.as_ref().and_then(|tls| tls.client_certificate.as_deref());
        let values = certificate.map_or(&[][..], |certificate| attribute.values(certificate));
        test.outcome(values.iter().any(|value| test.fits(Value::Text(&Text::new(value.as_str())))))
    }

    fn number(&self, attribute: NumberAttribute) -> u64 {
        let number = match attribute {
            NumberAttribute::MessageSize => self.message.original.len(),
            NumberAttribute::RecipientCount => self.message.envelope.recipients.len(),
        };
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    fn flag(&self, flag: Flag, group: &Group<'_>) -> bool {
        let session = self.message.session;
        match flag {
            Flag::Tls => session.tls.is_some(),
            Flag::TlsWrapped => session.tls.as_ref().is_some_and(|tls| tls.wrapped),
            Flag::ReadReceiptRequested => group.view.read_receipt_requested(),
            Flag::HasAttachments => !group.view.attachments().is_empty(),
            Flag::Authenticated => session.authenticated || session.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some()),
        }
    }
}

impl IpTest {
    /// Whether the test holds for this address.
    pub fn holds(&self, address: std::net::IpAddr) -> bool {
        match self {
            Self::CidrMatches(set) => set.contains(address),
            Self::NotCidrMatches(set) => !set.contains(address),
            Self::InList(sets) => sets.iter().any(|set| set.contains(address)),
        }
    }
}

impl NumberOperator {
    /// Whether the operator holds for `number`: for any of the values, and for all of them if it is `not_equals`.
    pub fn holds(self, number: u64, values: &[u64]) -> bool {
        match self {
            Self::Equals => values.contains(&number),
            Self::NotEquals => !values.contains(&number),
            Self::LessThan => values.iter().any(|value| number < *value),
            Self::GreaterThan => values.iter().any(|value| number > *value),
            Self::LessThanOrEqual => values.iter().any(|value| number <= *value),
            Self::GreaterThanOrEqual => values.iter().any(|value| number >= *value),
        }
    }
}

impl CertificateAttribute {
    fn values(self, certificate: &ClientCertificate) -> &[String] {
        match self {
            Self::Cn => &certificate.cn,
            Self::SanRfc822Name => &certificate.san_rfc822_name,
            Self::SanDnsName => &certificate.san_dns_name,
            Self::SanDirectoryName => &certificate.san_directory_name,
            Self::SanUniformResourceIdentifier => &certificate.san_uniform_resource_identifier,
            Self::SanIpAddress => &certificate.san_ip_address,
            Self::SanRegisteredId => &certificate.san_registered_id,
            Self::SerialNumber => &certificate.serial_number,
        }
    }
}

fn attachment(part: AttachmentPart, test: &TextTest, group: &Group<'_>) -> bool {
    let values = group.view.attachments().iter().filter_map(|attachment| match part {
        AttachmentPart::Name => attachment.name.as_ref(),
        AttachmentPart::Type => Some(&attachment.media_type),
        AttachmentPart::Extension => attachment.extension.as_ref(),
    });
    test.holds(values.map(Value::Text))
}

fn mailbox_fits(mailbox: &Mailbox, look: Look, fits: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    match look {
        Look::Shown => mailbox.address.iter().map(Value::Text).any(fits),
        Look::Addresses => mailbox.addresses().map(Value::Text).any(fits),
        Look::AddressesAndNames => mailbox.addresses().chain(&mailbox.name).map(Value::Text).any(fits),
    }
}

fn domain(address: &Text) -> Option<&str> {
    let (_, domain) = address.folded().rsplit_once('@')?;
    (!domain.is_empty()).then_some(domain)
}
