//! What a token endpoint answers.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::Response;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::TokenError;
use super::request::Proof;
use crate::limits::{SOURCE_BACKOFF_FIRST, TOKEN_BYTES_MAX, TOKEN_LIFE_DEFAULT, TOKEN_REASON_CHARS_MAX};
use crate::message::one_line;
use crate::relay::retry_after::retry_after;

/// A token and how long it is said to live.
pub(super) struct Granted {
    pub(super) token: Zeroizing<String>,
    pub(super) life: Duration,
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Grant {
    access_token: String,
    token_type: String,
    expires_in: Option<Number>,
}

/// Some endpoints write the number as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

/// RFC 6749 §5.2.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
}

/// The token, or why there is none in words that hold nothing of `proof`.
pub(super) fn read(url: &str, answer: Response<Bytes>, proof: &Proof) -> Result<Granted, TokenError> {
    let (head, body) = answer.into_parts();
    if head.status.as_u16() == 200 {
        return granted(&body).map_err(|problem| TokenError::theirs(format!("the answer of {url} is no token: {problem}")));
    }
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    let said = [refusal.error.as_str(), refusal.error_description.as_str()].map(str::trim);
    let said: Vec<&str> = said.into_iter().filter(|text| !text.is_empty()).collect();
    let reason = match (said.join(": "), proof.secret()) {
        (text, _) if text.is_empty() => format!("HTTP status {}", head.status.as_u16()),
        (text, Some(secret)) if text.contains(secret) => {
            format!("HTTP status {} (text left out, it repeats the secret)", head.status.as_u16())
        }
        (text, _) => one_line(&text, TOKEN_REASON_CHARS_MAX),
    };
    let text = format!("{url} gives no token: {reason}");
    let wait = retry_after(&head.headers, SystemTime::now()).map(|wait| wait.max(SOURCE_BACKOFF_FIRST));
    Err(match head.status.as_u16() {
        // Whoever asks too often, or at a bad time, has nothing to mend.
        408 | 429 | 500.. => TokenError { wait, ..TokenError::theirs(text) },
        _ => TokenError { wait, refuses_proof: refusal.error == "invalid_client", ..TokenError::ours(text) },
    })
}

fn granted(body: &[u8]) -> Result<Granted, &'static str> {
    // The reader's own message would quote what it found.
    let grant: Grant = serde_json::from_slice(body).map_err(|_| "it is not the JSON of RFC 6749")?;
    let token = Zeroizing::new(grant.access_token);
    if !grant.token_type.eq_ignore_ascii_case("bearer") {
        return Err("it is of another type than Bearer");
    }
    // RFC 6750 §2.1; anything else could break out of the header field or the login that it goes into.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(is_token) {
        return Err("it is empty, too long, or holds other characters than those of RFC 6750");
    }
    let seconds = match grant.expires_in {
        None => None,
        Some(Number::Number(seconds)) => Some(seconds),
        Some(Number::Text(text)) => text.trim().parse().ok(),
    };
    let life = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).ok()).unwrap_or(TOKEN_LIFE_DEFAULT);
    Ok(Granted { token, life })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::secrets::ClientSecret;

    fn answer(status: u16, body: &str) -> Result<Granted, TokenError> {
        let proof = Proof::Secret(Arc::new(ClientSecret::from_text("hunter2").unwrap()));
        let response = Response::builder().status(status).header("Retry-After", "7").body(Bytes::from(body.to_owned())).unwrap();
        read("https://t.example/", response, &proof)
    }

    #[test]
    fn a_token_and_its_life() {
        for (body, life) in [
            (r#"{"access_token":"ab.c-d_e~f+/=","token_type":"Bearer","expires_in":3599,"ext_expires_in":3599}"#, 3599),
            (r#"{"access_token":"ab.c-d_e~f+/=","token_type":"bearer","expires_in":"3599"}"#, 3599),
            (r#"{"access_token":"ab.c-d_e~f+/=","token_type":"Bearer"}"#, 600),
            (r#"{"access_token":"ab.c-d_e~f+/=","token_type":"Bearer","expires_in":-5}"#, 0),
            (r#"{"access_token":"ab.c-d_e~f+/=","token_type":"Bearer","expires_in":1e300}"#, 600),
        ] {
            let granted = answer(200, body).map_err(|error| error.text).unwrap();
            assert_eq!((granted.token.as_str(), granted.life.as_secs()), ("ab.c-d_e~f+/=", life), "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_the_endpoints_trouble_and_never_quoted() {
        let long = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, "a".repeat(9000));
        for body in [
            "",
            "<html>hunter2</html>",
            "{}",
            r#"{"access_token":"hunter2"}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            r#"{"access_token":"","token_type":"Bearer"}"#,
            r#"{"access_token":"hunter2\r\nX: y","token_type":"Bearer"}"#,
            r#"{"access_token":"hunter2 ","token_type":"Bearer"}"#,
            r#"{"access_token":["hunter2"],"token_type":"Bearer"}"#,
            &long,
        ] {
            let error = answer(200, body).map(|_| ()).unwrap_err();
            assert!(!error.is_ours && !error.refuses_proof && !error.text.contains("hunter2"), "{body}: {}", error.text);
        }
    }

    #[test]
    fn refusals_say_whose_they_are() {
        let error =
            |code: &str| format!(r#"{{"error":"{code}","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace"}}"#);
        for (status, body, is_ours, refuses_proof, said) in [
            (401, error("invalid_client"), true, true, "invalid_client: AADSTS7000215: Invalid client secret provided.  Trace"),
            (400, error("invalid_scope"), true, false, "invalid_scope: AADSTS7000215: Invalid client secret provided.  Trace"),
            (400, error("hunter2"), true, false, "HTTP status 400 (text left out, it repeats the secret)"),
            (400, "nonsense".to_owned(), true, false, "HTTP status 400"),
            (302, String::new(), true, false, "HTTP status 302"),
            (429, String::new(), false, false, "HTTP status 429"),
            (503, "<html>".to_owned(), false, false, "HTTP status 503"),
            (500, error("server_error"), false, false, "server_error: AADSTS7000215: Invalid client secret provided.  Trace"),
        ] {
            let error = answer(status, &body).map(|_| ()).unwrap_err();
            assert_eq!(
                (error.is_ours, error.refuses_proof, error.wait),
                (is_ours, refuses_proof, Some(Duration::from_secs(7))),
                "{status} {body}"
            );
            assert_eq!(&*error.text, format!("https://t.example/ gives no token: {said}"));
        }
    }
}
