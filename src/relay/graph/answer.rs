//! What the answers of Graph mean for a message.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::Response;
use serde::Deserialize;

use super::super::retry_after::retry_after;
use crate::failure::{Class, Failure, Side};
use crate::limits::{GRAPH_WAIT_DEFAULT, TOKEN_REASON_CHARS_MAX};
use crate::message::printable;
use crate::smtp::{Reply, Status};

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Graph has the message; the reply stands for its word.
    Sent(Reply),
    /// Another token may do; this is the failure if there is none.
    TokenRefused(Failure),
    /// Nothing is to be asked for so long.
    Wait(Failure, Duration),
    /// It is over for now, or for good.
    Failed(Failure),
}

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Error,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Error {
    code: String,
    message: String,
}

/// Errors whose code says more than their status.
const CODES: &[(&str, Meaning)] = &[
    // The author is not the mailbox: the sender's mistake, as 554 5.2.252 is when it is said by SMTP.
    ("ErrorSendAsDenied", Meaning::Permanent(550, Status(5, 7, 1))),
    ("ErrorInvalidRecipients", Meaning::Permanent(550, Status(5, 1, 3))),
    ("ErrorMessageSizeExceeded", Meaning::Permanent(552, Status(5, 3, 4))),
    ("ErrorAccessDenied", Meaning::Operator),
    ("ErrorInvalidUser", Meaning::Operator),
    ("ErrorNonExistentMailbox", Meaning::Operator),
    ("MailboxNotEnabledForRESTAPI", Meaning::Operator),
    ("MailboxNotSupportedForRESTAPI", Meaning::Operator),
    ("Request_ResourceNotFound", Meaning::Operator),
    ("ResourceNotFound", Meaning::Operator),
    ("ErrorExceededMessageLimit", Meaning::Temporary),
    ("ErrorQuotaExceeded", Meaning::Temporary),
];

#[derive(Clone, Copy)]
enum Meaning {
    Permanent(u16, Status),
    /// To be mended in the tenant or in the configuration: the mail waits.
    Operator,
    Temporary,
}

/// Judges an answer.
pub(super) fn judge(answer: Response<Bytes>, now: SystemTime) -> Verdict {
    let (head, body) = answer.into_parts();
    let status = head.status.as_u16();
    let id = head.headers.get("request-id").and_then(|id| id.to_str().ok()).unwrap_or("none");
    let id = printable(id, TOKEN_REASON_CHARS_MAX);
    if status == 202 {
        return Verdict::Sent(Reply::new(250, Some(Status(2, 0, 0)), format!("Accepted by Microsoft Graph, request {id}")));
    }
    let Body { error } = serde_json::from_slice(&body).unwrap_or_default();
    let said =
        format!("Microsoft Graph said: {}", printable(&format!("{status} {} {}", error.code, error.message), TOKEN_REASON_CHARS_MAX));
    let said = said.trim_end();
    let failure = |side, code, enhanced| Failure::new(side, Reply::new(code, Some(enhanced), said), format!("request {id}"));
    let operator = || failure(Side::Us, 451, Status(4, 7, 0)).of(Class::Hold);
    let meaning = CODES.iter().find(|(code, _)| code.eq_ignore_ascii_case(&error.code)).map(|(_, meaning)| *meaning);
    let meaning = match (status, meaning) {
        (401, _) => return Verdict::TokenRefused(operator()),
        (429 | 503, _) => {
            let wait = retry_after(&head.headers, now).unwrap_or(GRAPH_WAIT_DEFAULT);
            return Verdict::Wait(failure(Side::Relay, 451, Status(4, 4, 5)).of(Class::Slow).after(wait), wait);
        }
        (413, _) => Meaning::Permanent(552, Status(5, 3, 4)),
        (_, Some(meaning)) => meaning,
        (400 | 422, None) => Meaning::Permanent(554, Status(5, 6, 0)),
        (403 | 404, None) => Meaning::Operator,
        // 200 among them: too large a message has been seen to get it, and was not sent.
        _ => Meaning::Temporary,
    };
    Verdict::Failed(match meaning {
        Meaning::Permanent(code, enhanced) => failure(Side::Relay, code, enhanced),
        Meaning::Operator => operator(),
        Meaning::Temporary => failure(Side::Relay, 451, Status(4, 3, 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_one_meaning() {
        let error = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"Why\u0000.\r\nSo"}}}}"#);
        for (status, code, expected) in [
            (202, "", "sent 250"),
            (200, "", "451 4.3.0 Relay"),
            (201, "", "451 4.3.0 Relay"),
            (302, "", "451 4.3.0 Relay"),
            (400, "ErrorMimeContentInvalidBase64String", "554 5.6.0 Relay"),
            (400, "ErrorInvalidRecipients", "550 5.1.3 Relay"),
            (401, "InvalidAuthenticationToken", "token 451 4.7.0 Us"),
            (403, "ErrorAccessDenied", "451 4.7.0 Us"),
            (403, "ErrorSendAsDenied", "550 5.7.1 Relay"),
            (403, "", "451 4.7.0 Us"),
            (404, "ErrorInvalidUser", "451 4.7.0 Us"),
            (404, "MailboxNotEnabledForRESTAPI", "451 4.7.0 Us"),
            (405, "", "451 4.3.0 Relay"),
            (413, "", "552 5.3.4 Relay"),
            (413, "ErrorAccessDenied", "552 5.3.4 Relay"),
            (429, "ApplicationThrottled", "wait 7 451 4.4.5 Relay"),
            (503, "", "wait 7 451 4.4.5 Relay"),
            (500, "InternalServerError", "451 4.3.0 Relay"),
            (500, "ErrorMessageSizeExceeded", "552 5.3.4 Relay"),
            (504, "", "451 4.3.0 Relay"),
            (507, "", "451 4.3.0 Relay"),
        ] {
            let body = if code.is_empty() { "<html>".to_owned() } else { error(code) };
            let response = Response::builder().status(status).header("request-id", "id-1").header("retry-after", "7");
            let verdict = judge(response.body(Bytes::from(body)).unwrap(), SystemTime::now());
            let short = |failure: &Failure| {
                assert_eq!(failure.is_temporary(), failure.reply.code < 500);
                assert_eq!(failure.detail, "request id-1");
                let text = if code.is_empty() {
                    format!("Microsoft Graph said: {status}")
                } else {
                    format!("Microsoft Graph said: {status} {code} Why?.??So")
                };
                assert_eq!(failure.reply.text, text);
                format!("{} {} {:?}", failure.reply.code, failure.reply.status.unwrap(), failure.side)
            };
            let said = match &verdict {
                Verdict::Sent(reply) => {
                    assert_eq!(reply.text, "Accepted by Microsoft Graph, request id-1");
                    format!("sent {}", reply.code)
                }
                Verdict::TokenRefused(failure) => format!("token {}", short(failure)),
                Verdict::Wait(failure, wait) => format!("wait {} {}", wait.as_secs(), short(failure)),
                Verdict::Failed(failure) => short(failure),
            };
            assert_eq!(said, expected, "{status} {code}");
        }
    }
}
