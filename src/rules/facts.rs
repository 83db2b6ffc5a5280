//! What conditions ask: the values of attributes, and the conditions judged with them.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::answer::{Answer, Bounds};
use super::group::{Group, Member};
use super::test::Value;
use super::{
    AttachmentPart, CertificateAttribute, Condition, Flag, IpTest, Mode, NumberAttribute, NumberOperator, OnError, Rule, Template,
    TemplatePart, TextAttribute, TextTest, Truth,
};
use crate::message::{ClientCertificate, Envelope, Findings, Mailbox, MailboxField, Need, Original, SessionFacts, Text};
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
    /// What was found out about it so far.
    pub findings: &'a Findings,
}

/// What of an address in the header is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
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
}

/// How a condition bears on the rule that it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Bearing {
    /// Where it holds, the rule does not match: below `unless` or `not`.
    against: bool,
    /// The rule is only logged, and never holds up a message.
    is_audit: bool,
}

/// What is missing to say whether a rule matches.
#[derive(Debug)]
pub(super) struct Lack {
    /// What nobody has asked for yet.
    pub(super) needs: BTreeSet<Need>,
    /// The members for whom the needs make a difference.
    pub(super) waiting: Answer,
}

impl<'a> Facts<'a> {
    pub(super) fn new(message: Message<'a>) -> Self {
        Self { message, mail_from: OnceCell::new(), helo: OnceCell::new() }
    }

    /// For which members of the group the rule matches. What does not depend on the recipient is judged once.
    pub(super) fn matching(&self, rule: &Rule, group: &Group<'_>) -> Bounds {
        let (with, against) = Bearing::of(rule);
        let when = self.all(&rule.when, group, with);
        if when.is_none() || rule.unless.is_empty() { when } else { when.and(self.any(&rule.unless, group, against).not()) }
    }

    /// What is missing to say whether the rule matches those members for whom that is `open`.
    pub(super) fn lack(&self, rule: &Rule, group: &Group<'_>, open: &Answer) -> Lack {
        let (with, against) = Bearing::of(rule);
        let mut lack = Lack { needs: BTreeSet::new(), waiting: Answer::None };
        self.gather(&rule.when, group, with, open, &mut lack);
        self.gather(&rule.unless, group, against, open, &mut lack);
        lack
    }

    /// The text of a template for the first member of the group: whoever gets a text with a recipient in it must be alone.
    pub(super) fn render(&self, template: &Template, group: &Group<'_>) -> String {
        template.render(|part, out| match part {
            TemplatePart::Text(text) => out.push_str(text),
            TemplatePart::SourceIp => out.push_str(&self.message.session.client_ip.to_string()),
            TemplatePart::Verdict(attribute) => out.push_str(attribute.word(self.message.findings).unwrap_or_default()),
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

    fn all(&self, conditions: &[Condition], group: &Group<'_>, bearing: Bearing) -> Bounds {
        let mut bounds = Bounds::from(true);
        for condition in conditions {
            bounds = bounds.and(self.judge(condition, group, bearing));
            if bounds.is_none() {
                break;
            }
        }
        bounds
    }

    fn any(&self, conditions: &[Condition], group: &Group<'_>, bearing: Bearing) -> Bounds {
        let mut bounds = Bounds::from(false);
        for condition in conditions {
            bounds = bounds.or(self.judge(condition, group, bearing));
            if bounds.is_all() {
                break;
            }
        }
        bounds
    }

    pub(super) fn judge(&self, condition: &Condition, group: &Group<'_>, bearing: Bearing) -> Bounds {
        if let Some(truth) = condition.looked_up(self.message.findings) {
            return bearing.bounds(&truth);
        }
        Bounds::Known(match condition {
            Condition::Any(conditions) => return self.any(conditions, group, bearing),
            Condition::All(conditions) => return self.all(conditions, group, bearing),
            Condition::Not(condition) => return self.judge(condition, group, bearing.turned()).not(),
            Condition::Text(attribute, test) if attribute.depends_on_recipient() => {
                group.members.iter().map(|member| self.text(*attribute, test, group, Some(member))).collect()
            }
            Condition::Text(attribute, test) => self.text(*attribute, test, group, None).into(),
            Condition::Header(name, test) => test.holds(group.view.header(name).iter().map(Value::Text)).into(),
            Condition::Attachment(part, test) => test.holds(attachment_values(*part, group).map(Value::Text)).into(),
            Condition::ClientCertificate(attribute, test) => self.certificate(*attribute, test).into(),
            Condition::Number(attribute, operator, values) => operator.holds(self.number(*attribute), values).into(),
            Condition::SourceIp(test) => test.holds(self.message.session.client_ip).into(),
            Condition::Flag(flag, wanted) => (self.flag(*flag, group) == *wanted).into(),
            // Both are looked up.
            Condition::Verdict { .. } | Condition::Analysis(_) => return Bounds::OPEN,
        })
    }

    /// Where a list of conditions is open for a member, none of them decides it, and each that is open for him can change it.
    fn gather(&self, conditions: &[Condition], group: &Group<'_>, bearing: Bearing, open: &Answer, lack: &mut Lack) {
        for condition in conditions {
            let open = open.clone().and(self.judge(condition, group, bearing).open());
            if open == Answer::None {
                continue;
            }
            match condition {
                Condition::Any(conditions) | Condition::All(conditions) => self.gather(conditions, group, bearing, &open, lack),
                Condition::Not(condition) => self.gather(std::slice::from_ref(&**condition), group, bearing.turned(), &open, lack),
                condition => {
                    if let Some(Truth::NotAsked(need)) = condition.looked_up(self.message.findings) {
                        lack.needs.insert(need);
                        lack.waiting = std::mem::replace(&mut lack.waiting, Answer::None).or(open);
                    }
                }
            }
        }
    }

    fn text(&self, attribute: TextAttribute, test: &TextTest, group: &Group<'_>, member: Option<&Member>) -> bool {
        test.outcome(self.find(attribute, group, member, Look::of(test), &mut |value| test.fits(value)))
    }

    /// Whether `fits` says so of any value of the attribute; no value is shown to it after the first that does.
    pub(super) fn find(
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
                let host = self.message.findings.client_host.known().and_then(Option::as_deref);
                host.is_some_and(|host| fits(Value::Text(&Text::new(host))))
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
        test.outcome(self.certificate_values(attribute).iter().any(|value| test.fits(Value::Text(&Text::new(value.as_str())))))
    }

    pub(super) fn certificate_values(&self, attribute: CertificateAttribute) -> &[String] {
        let certificate = self.message.session.tls.as_ref().and_then(|tls| tls.client_certificate.as_deref());
        certificate.map_or(&[][..], |certificate| attribute.values(certificate))
    }

    pub(super) fn number(&self, attribute: NumberAttribute) -> u64 {
        let number = match attribute {
            NumberAttribute::MessageSize => self.message.original.len(),
            NumberAttribute::RecipientCount => self.message.envelope.recipients.len(),
        };
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    pub(super) fn flag(&self, flag: Flag, group: &Group<'_>) -> bool {
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

impl Look {
    /// What a test looks at.
    pub(super) fn of(test: &TextTest) -> Self {
        if test.reads_display_names() { Self::AddressesAndNames } else { Self::Addresses }
    }
}

impl Bearing {
    /// How the conditions below `when` bear on a rule, and how those below `unless`.
    pub(super) fn of(rule: &Rule) -> (Self, Self) {
        let with = Self { against: false, is_audit: rule.mode == Mode::Audit };
        (with, with.turned())
    }

    pub(super) fn turned(self) -> Self {
        Self { against: !self.against, ..self }
    }

    /// What can be said of a condition with this truth. One that is to be skipped lets the rule match as little as it can.
    fn bounds(self, truth: &Truth) -> Bounds {
        match truth {
            Truth::Known(holds) => (*holds).into(),
            Truth::NoAnswer { on_error, .. } if *on_error == OnError::Skip || self.is_audit => self.against.into(),
            Truth::NotAsked(_) | Truth::NoAnswer { .. } => Bounds::OPEN,
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
    pub fn holds<N: PartialOrd>(self, number: N, values: &[N]) -> bool {
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

/// The parts of all attachments that have one.
pub(super) fn attachment_values<'g>(part: AttachmentPart, group: &'g Group<'_>) -> impl Iterator<Item = &'g Text> {
    group.view.attachments().iter().filter_map(move |attachment| match part {
        AttachmentPart::Name => attachment.name.as_ref(),
        AttachmentPart::Type => Some(&attachment.media_type),
        AttachmentPart::Extension => attachment.extension.as_ref(),
    })
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
