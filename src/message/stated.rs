//! The recipients that a header states: for next hops that take them from there, because they know no envelope.

use super::addresses;
use super::{Mailbox, Original};

/// The fields that name recipients (RFC 5322 §3.6.3).
const FIELDS: [&[u8]; 3] = [b"To", b"Cc", b"Bcc"];

/// The addresses of To, Cc and Bcc. `None`: one of these fields does not keep to the syntax, so that readers may find others in it.
pub fn stated_recipients(original: &Original) -> Option<Vec<Mailbox>> {
    let mut stated = Vec::new();
    for field in original.fields() {
        let (name, value) = (original.name(field), original.value(field));
        if value.trim_ascii().is_empty() || !FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        let reading = addresses::read(value);
        if !reading.is_certain {
            return None;
        }
        stated.extend(reading.mailboxes.into_iter().filter(|mailbox| mailbox.address.is_some()));
    }
    Some(stated)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_is_certain_is_read_and_nothing_is_guessed() {
        for (header, expected) in [
            (
                "To: a@x.example\r\ncc: B <b@x.example>,\r\n c@x.example\r\nBCC: d@x.example\r\n",
                Some(vec!["a@x.example", "b@x.example", "c@x.example", "d@x.example"]),
            ),
            ("To: undisclosed-recipients:;\r\nBcc:\r\nFrom: e@x.example\r\nResent-To: f@x.example\r\n", Some(vec![])),
            ("To: g: a@x.example, b@x.example;\r\nTo: c@x.example\r\n", Some(vec!["a@x.example", "b@x.example", "c@x.example"])),
            ("Subject: x\r\n", Some(vec![])),
            ("To: a@x.example\r\nCc: b@x.example <c@x.example>\r\n", None),
            ("To: a@x.example b@x.example\r\n", None),
        ] {
            let original = Original::parse(Bytes::from(format!("{header}\r\nTo: body@x.example\r\n"))).unwrap();
            let stated = stated_recipients(&original);
            let stated =
                stated.as_ref().map(|stated| stated.iter().filter_map(|one| Some(one.address.as_ref()?.plain())).collect::<Vec<_>>());
            assert_eq!(stated, expected, "{header:?}");
        }
    }
}
