//! Answers that are given instead of asked for: verdicts without a network, for tests of rules.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::proto::rr::Name;

use super::answer::{Answer, Data};
use super::normal_name;
use super::question::{Kind, Question};
use crate::limits::DNS_RECORDS_MAX;

/// Answers by question. A question that has none is trouble, and is remembered: whoever gave the answers is to be told of it, since a
/// verdict that was made without one is not what was meant.
#[derive(Debug, Default)]
pub struct GivenAnswers {
    answers: HashMap<Question, GivenAnswer>,
    /// For every other question.
    others: Option<GivenAnswer>,
    unanswered: Mutex<BTreeSet<String>>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenAnswer {
    /// Records, as zone files write what they hold: `v=spf1 -all`, `192.0.2.1`, `10 mail.example`.
    Records(Vec<String>),
    /// The name exists, and has no records of the type.
    NoRecords,
    /// There is no such name.
    NoName,
    /// The servers say that they cannot answer now.
    ServerFailure,
    /// The servers do not answer.
    Timeout,
}

impl GivenAnswers {
    /// Adds the answer to a question, which is written `acme.example TXT`, for the names of an address `192.0.2.1 PTR`. The question `*` is
    /// all that have no answer of their own.
    ///
    /// # Errors
    /// What is wrong with the question, or with a record.
    pub fn add(&mut self, question: &str, answer: GivenAnswer) -> Result<(), String> {
        if question == "*" {
            if matches!(answer, GivenAnswer::Records(_)) {
                return Err("records need the name and the type that they belong to".to_owned());
            }
            self.others = Some(answer);
            return Ok(());
        }
        let question = read(question)?;
        if let GivenAnswer::Records(records) = &answer {
            data(question.kind, records)?;
        }
        self.answers.insert(question, answer);
        Ok(())
    }

    /// The questions that were asked and have no answer.
    pub fn unanswered(&self) -> Vec<String> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(super) fn look_up(&self, question: &Question) -> Result<Answer, Arc<str>> {
        match self.answers.get(question).or(self.others.as_ref()) {
            Some(GivenAnswer::Records(records)) => data(question.kind, records).map(Answer::of).map_err(Into::into),
            Some(GivenAnswer::NoRecords) => Ok(Answer::nothing(true)),
            Some(GivenAnswer::NoName) => Ok(Answer::nothing(false)),
            Some(GivenAnswer::ServerFailure) => Err("the server says SERVFAIL".into()),
            Some(GivenAnswer::Timeout) => Err("no answer in time".into()),
            None => {
                let shown = format!("{} {}", question.name, question.kind.word());
                let why = format!("no answer is given for `{shown}`").into();
                self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).insert(shown);
                Err(why)
            }
        }
    }
}

fn read(text: &str) -> Result<Question, String> {
    let (name, kind) = text.rsplit_once(' ').ok_or("a question is a name and a type: `acme.example TXT`")?;
    let kind = match kind {
        "TXT" => Kind::Txt,
        "A" => Kind::Ipv4,
        "AAAA" => Kind::Ipv6,
        "MX" => Kind::Mx,
        "PTR" => Kind::Ptr,
        _ => return Err("the type is one of `TXT`, `A`, `AAAA`, `MX` and `PTR`".to_owned()),
    };
    let reverse = name.parse::<IpAddr>().ok().filter(|_| kind == Kind::Ptr).map(|address| Name::from(address).to_ascii());
    Question::new(kind, reverse.as_deref().unwrap_or(name)).ok_or_else(|| format!("`{name}` is not a domain name"))
}

/// The records of a type. What stands behind the first of very many is not looked at, as with servers.
fn data(kind: Kind, records: &[String]) -> Result<Data, String> {
    let records = records.iter().take(DNS_RECORDS_MAX);
    let name = |text: &str| if text == "." { Some(Box::default()) } else { normal_name(text) };
    Ok(match kind {
        Kind::Txt => Data::Txt(records.map(|text| text.as_bytes().into()).collect()),
        Kind::Ipv4 => Data::Ipv4(all(records, "an IPv4 address", |text| text.parse().ok())?),
        Kind::Ipv6 => Data::Ipv6(all(records, "an IPv6 address", |text| text.parse().ok())?),
        Kind::Mx => Data::Mx(all(records, "a preference and a host, as in `10 mail.example`", |text| {
            let (preference, host) = text.split_once(' ')?;
            Some((preference.parse().ok()?, name(host.trim())?))
        })?),
        Kind::Ptr => Data::Ptr(all(records, "a domain name", normal_name)?),
        Kind::Tlsa => Data::Nothing,
    })
}

fn all<'r, T>(records: impl Iterator<Item = &'r String>, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Arc<[T]>, String> {
    records.map(|text| read(text).ok_or_else(|| format!("`{text}` is not {what}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::dns::{Dns, DnsError, client_host};
    use crate::message::Fact;

    fn records(records: &[&str]) -> GivenAnswer {
        GivenAnswer::Records(records.iter().map(|&text| text.to_owned()).collect())
    }

    fn dns(answers: &[(&str, GivenAnswer)]) -> (Arc<GivenAnswers>, Dns) {
        let mut given = GivenAnswers::default();
        answers.iter().for_each(|(question, answer)| given.add(question, answer.clone()).unwrap());
        let given = Arc::new(given);
        (Arc::clone(&given), Dns::of_answers(given))
    }

    #[tokio::test]
    async fn what_is_given_is_answered_and_what_is_not_is_trouble_that_is_told() {
        let (given, dns) = dns(&[
            ("Acme.Example TXT", records(&["v=spf1 -all"])),
            ("acme.example MX", records(&["10 mx.acme.example.", "0 ."])),
            ("gone.example TXT", GivenAnswer::NoName),
            ("slow.example TXT", GivenAnswer::Timeout),
            ("empty.example A", GivenAnswer::NoRecords),
        ]);
        let inquiry = dns.inquiry(10, Duration::from_secs(1));
        assert_eq!(&*inquiry.txt("acme.example").await.unwrap().records, [Box::from(b"v=spf1 -all".as_slice())]);
        assert_eq!(&*inquiry.mx("acme.example").await.unwrap().records, [(10, "mx.acme.example".into()), (0, "".into())]);
        assert!(!inquiry.txt("gone.example").await.unwrap().exists);
        assert!(inquiry.ipv4("empty.example").await.unwrap().exists);
        assert_eq!(inquiry.txt("slow.example").await, Err(DnsError::Trouble("no answer in time".into())));
        assert_eq!(given.unanswered(), [""; 0]);
        assert!(matches!(inquiry.ipv4("acme.example").await, Err(DnsError::Trouble(_))));
        assert_eq!(given.unanswered(), ["acme.example A"]);
    }

    #[tokio::test]
    async fn a_star_answers_for_all_the_others() {
        let (given, dns) = dns(&[("*", GivenAnswer::NoName), ("acme.example A", records(&["192.0.2.1"]))]);
        let inquiry = dns.inquiry(10, Duration::from_secs(1));
        assert!(!inquiry.txt("other.example").await.unwrap().exists);
        assert_eq!(&*inquiry.ipv4("acme.example").await.unwrap().records, [Ipv4Addr::new(192, 0, 2, 1)]);
        assert_eq!(given.unanswered(), [""; 0]);
    }

    #[tokio::test]
    async fn names_of_an_address_are_given_by_the_address() {
        let (_, dns) = dns(&[("192.0.2.1 PTR", records(&["mail.acme.example"])), ("mail.acme.example A", records(&["192.0.2.1"]))]);
        assert_eq!(client_host(&dns, IpAddr::from([192, 0, 2, 1])).await, Fact::Known(Some("mail.acme.example".into())));
    }

    #[test]
    fn what_is_no_question_and_no_record_is_said() {
        let mut given = GivenAnswers::default();
        for (question, record, expected) in [
            ("acme.example", "x", "a question is a name and a type"),
            ("acme.example SOA", "x", "the type is one of"),
            ("acme..example TXT", "x", "`acme..example` is not a domain name"),
            ("acme.example A", "x", "`x` is not an IPv4 address"),
            ("acme.example MX", "mail", "`mail` is not a preference and a host"),
            ("*", "x", "records need the name"),
        ] {
            let error = given.add(question, records(&[record])).unwrap_err();
            assert!(error.starts_with(expected), "{question}: {error}");
        }
    }
}
