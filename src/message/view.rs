//! Header values as conditions see them: decoded, split into addresses, and read at most once.
//!
//! A view is a message and the changes made to it. Its clone is a fork: it shares what was read so far, and a change on one
//! side is never seen on the other.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::addresses::{self, Mailbox};
use super::mime::{Attachment, attachments};
use super::original::is_field_name;
use super::{Edits, Original, Text};
use crate::limits::MAILBOXES_MAX;

/// A message with its changes.
#[derive(Clone, Debug)]
pub struct View<'a> {
    original: &'a Original,
    edits: Arc<Edits>,
    mailboxes: [OnceCell<Rc<[Mailbox]>>; 4],
    texts: RefCell<Vec<ReadHeader>>,
    attachments: Rc<OnceCell<Vec<Attachment>>>,
}

/// A name and the values of all fields of this name.
type ReadHeader = (Box<str>, Rc<[Text]>);

/// A header field that holds addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxField {
    /// `Sender`.
    Sender,
    /// `From`.
    From,
    /// `To`.
    To,
    /// `Cc`.
    Cc,
}

impl<'a> View<'a> {
    /// The message as it was received, but for the fields that are not believed.
    pub fn new(original: &'a Original) -> Self {
        let edits = Arc::new(Edits::of_disbelieved(original));
        Self { original, edits, mailboxes: Default::default(), texts: RefCell::default(), attachments: Rc::default() }
    }

    /// The received message.
    pub fn original(&self) -> &'a Original {
        self.original
    }

    /// The changes so far.
    pub fn edits(&self) -> &Arc<Edits> {
        &self.edits
    }

    /// See [`Edits::add_header`].
    pub fn add_header(&mut self, name: &str, value: &str) {
        Arc::make_mut(&mut self.edits).add_header(name, value);
        self.forget(name);
    }

    /// See [`Edits::remove_header`].
    pub fn remove_header(&mut self, name: &str) {
        Arc::make_mut(&mut self.edits).remove_header(self.original, name);
        self.forget(name);
    }

    /// See [`Edits::prefix_subject`].
    pub fn prefix_subject(&mut self, text: &str) {
        Arc::make_mut(&mut self.edits).prefix_subject(self.original, text);
        self.forget("subject");
    }

    /// The values of all fields of this name, decoded (RFC 2047) and unfolded.
    pub fn header(&self, name: &str) -> Rc<[Text]> {
        if let Some((_, texts)) = self.texts.borrow().iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Rc::clone(texts);
        }
        let texts: Rc<[Text]> = self.values(name).map(|value| Text::new(decoded(value))).collect();
        self.texts.borrow_mut().push((name.into(), Rc::clone(&texts)));
        texts
    }

    /// The addresses of all fields of a kind, groups dissolved: all that some mail reader may show, at most [`MAILBOXES_MAX`].
    pub fn mailboxes(&self, field: MailboxField) -> &[Mailbox] {
        let [sender, from, to, cc] = &self.mailboxes;
        let cell = match field {
            MailboxField::Sender => sender,
            MailboxField::From => from,
            MailboxField::To => to,
            MailboxField::Cc => cc,
        };
        cell.get_or_init(|| self.values(field.name()).flat_map(|value| addresses::read(value).mailboxes).take(MAILBOXES_MAX).collect())
    }

    /// The identifiers of all Message-ID fields, without angle brackets (RFC 5322 §3.6.4).
    pub fn message_ids(&self) -> Vec<Text> {
        let bare = |text: &Text| Text::new(text.plain().trim_start_matches('<').trim_end_matches('>'));
        self.header("Message-ID").iter().map(bare).collect()
    }

    /// Whether the sender asks for a disposition notification (RFC 8098 §2.1).
    pub fn read_receipt_requested(&self) -> bool {
        self.values("Disposition-Notification-To").any(|value| !value.trim_ascii().is_empty())
    }

    /// The attachments, those of forwarded messages included. No edit reaches them, so all forks share one reading.
    pub fn attachments(&self) -> &[Attachment] {
        self.attachments.get_or_init(|| attachments(self.original))
    }

    fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> {
        self.edits.fields(self.original).filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    fn forget(&mut self, name: &str) {
        // A name that is none is mended before it is written.
        let is_changed = |known: &str| known.eq_ignore_ascii_case(name) || !is_field_name(name);
        self.texts.get_mut().retain(|(known, _)| !is_changed(known));
        for (field, cell) in MailboxField::ALL.iter().zip(&mut self.mailboxes) {
            if is_changed(field.name()) {
                cell.take();
            }
        }
    }
}

impl MailboxField {
    const ALL: [Self; 4] = [Self::Sender, Self::From, Self::To, Self::Cc];

    fn name(self) -> &'static str {
        match self {
            Self::Sender => "Sender",
            Self::From => "From",
            Self::To => "To",
            Self::Cc => "Cc",
        }
    }
}

/// An unstructured value, unfolded, with its encoded-words read.
pub(super) fn decoded(value: &[u8]) -> String {
    let trimmed = value.trim_ascii();
    if memchr::memmem::find(trimmed, b"=?").is_none()
        && memchr::memchr2(b'\n', b'\r', trimmed).is_none()
        && let Ok(text) = std::str::from_utf8(trimmed)
    {
        return text.to_owned();
    }
    match MessageStream::new(&with_line_end(value)).parse_unstructured() {
        HeaderValue::Text(text) => text.trim().to_owned(),
        _ => String::new(),
    }
}

/// The parser gives nothing for a value without a line end.
pub(super) fn with_line_end(value: &[u8]) -> Cow<'_, [u8]> {
    if value.ends_with(b"\n") { Cow::Borrowed(value) } else { Cow::Owned([value, b"\r\n"].concat()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn original(text: &str) -> Original {
        Original::parse(Bytes::copy_from_slice(text.as_bytes())).expect("small")
    }

    fn plain(texts: &[Text]) -> Vec<&str> {
        texts.iter().map(Text::plain).collect()
    }

    #[test]
    fn values_are_decoded_and_unfolded() {
        for (value, expected) in [
            ("Subject: hello  world \r\n", "hello  world"),
            ("Subject: =?UTF-8?B?R3LDvMOfZQ==?= =?iso-8859-1?Q?_an=FCalle?=\r\n", "Grüße anüalle"),
            ("Subject: a\r\n b\r\n\tc\r\n", "a b c"),
            ("Subject:\r\n", ""),
            ("Subject: =?utf-8?Q?broken\r\n", "=?utf-8?Q?broken"),
            ("Subject: no line end", "no line end"),
        ] {
            let original = original(value);
            assert_eq!(plain(&View::new(&original).header("subject")), [expected], "{value:?}");
        }
    }

    #[test]
    fn addresses_are_split_from_names() {
        let original = original(concat!(
            "From: =?UTF-8?Q?J=C3=BCrgen?= <J@Gmail.com>, \"b@x.example\" <evil@y.example>\r\n",
            "To: team: c@x.example, d@x.example;\r\nTo: nobody at all\r\nCc:\r\n\r\n"
        ));
        let view = View::new(&original);
        let show = |field| {
            let text = |text: &Option<Text>| text.as_ref().map_or(String::new(), |text| text.plain().to_owned());
            view.mailboxes(field).iter().map(|mailbox| (text(&mailbox.address), text(&mailbox.name))).collect::<Vec<_>>()
        };
        let pair = |address: &str, name: &str| (address.to_owned(), name.to_owned());
        assert_eq!(show(MailboxField::From), [pair("J@Gmail.com", "Jürgen"), pair("evil@y.example", "b@x.example")]);
        assert_eq!(view.mailboxes(MailboxField::From)[0].domain(), Some("gmail.com"));
        assert_eq!(show(MailboxField::To), [pair("c@x.example", ""), pair("d@x.example", ""), pair("", "nobody at all")]);
        assert_eq!(show(MailboxField::Cc), []);
        assert_eq!(show(MailboxField::Sender), []);
    }

    #[test]
    fn a_fork_sees_its_own_changes_only() {
        let original = original("From: a@x.example\r\nSubject: s\r\n\r\n");
        let mut view = View::new(&original);
        assert_eq!(plain(&view.header("Subject")), ["s"]);
        assert_eq!(view.mailboxes(MailboxField::From).len(), 1);
        let fork = view.clone();
        view.prefix_subject("[x] ");
        view.remove_header("from");
        view.add_header("Disposition-Notification-To", "a@x.example");
        assert_eq!(plain(&view.header("subject")), ["[x] s"]);
        assert_eq!((view.mailboxes(MailboxField::From).len(), view.read_receipt_requested()), (0, true));
        assert_eq!(plain(&fork.header("subject")), ["s"]);
        assert_eq!((fork.mailboxes(MailboxField::From).len(), fork.read_receipt_requested()), (1, false));
        view.add_header("From :", "b@x.example");
        assert_eq!(view.mailboxes(MailboxField::From).len(), 1);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            value in r#"[-a-zA-Z@<>()":;,=?\\ \r\n\t.]{0,80}"#,
        ) {
            let typed = [b"From: ".as_slice(), value.as_bytes(), b"\r\nContent-Type: ", value.as_bytes(), b"\r\n\r\n", &bytes].concat();
            for message in [bytes, typed] {
                let original = Original::parse(message.into()).expect("small");
                let mut view = View::new(&original);
                for field in MailboxField::ALL {
                    view.mailboxes(field);
                }
                view.header("Content-Type");
                view.attachments();
                view.prefix_subject("[x] ");
                view.header("Subject");
                original.has_received_by("mx");
            }
        }
    }
}
