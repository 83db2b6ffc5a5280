//! What is sent to a token endpoint.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request};
use zeroize::Zeroizing;

use super::TokenError;
use crate::limits::ASSERTION_LIFE;
use crate::relay::OAuthConfig;
use crate::secrets::{ClientSecret, Identity};

/// What proves that we are the application.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Secret(Arc<ClientSecret>),
    Certificate(Arc<Identity>),
}

impl Proof {
    /// What must be in no error.
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(secret) => Some(secret.as_str()),
            // An assertion is signed anew for each request, and the key does not leave the crypto library.
            Self::Certificate(_) => None,
        }
    }
}

/// The request of the client credentials grant (RFC 6749 §4.4.2).
pub(super) fn make(config: &OAuthConfig, proof: &Proof, now: SystemTime) -> Result<Request<Bytes>, TokenError> {
    let mut form = Form::default();
    form.add("grant_type", "client_credentials");
    form.add("client_id", &config.client_id);
    form.add("scope", &config.scope);
    match proof {
        // RFC 6749 §2.3.1 allows it in the body; Microsoft's endpoint takes it there.
        Proof::Secret(secret) => form.add("client_secret", secret.as_str()),
        Proof::Certificate(identity) => {
            form.add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            form.add("client_assertion", &assertion(config, identity, now)?);
        }
    }
    let request = Request::builder()
        .method(Method::POST)
        .uri(&*config.token_url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        // Wiped when the request is done with.
        .body(Bytes::from_owner(form.0));
    request.map_err(|_| TokenError::ours(format!("`{}` is no address of a token endpoint", config.token_url)))
}

/// A JWT that says who we are (RFC 7523 §2.2 and §3), in the form that Microsoft's endpoint asks for: `PS256`, with the SHA-256 of the
/// certificate to find it by (RFC 7515 §4.1.8).
fn assertion(config: &OAuthConfig, identity: &Identity, now: SystemTime) -> Result<Zeroizing<String>, TokenError> {
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, identity.certificate()));
    let header = serde_json::json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint });
    let begin = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| TokenError::ours("the system gives no random numbers"))?;
    let claims = serde_json::json!({
        "aud": *config.token_url,
        "iss": *config.client_id,
        "sub": *config.client_id,
        "jti": URL_SAFE_NO_PAD.encode(id),
        "nbf": begin,
        "iat": begin,
        "exp": begin.saturating_add(ASSERTION_LIFE.as_secs()),
    });
    let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let not_rsa = || TokenError::ours("the certificate for tokens has a key that is not one of RSA, which PS256 needs");
    let signature = identity.ps256(signed.as_bytes()).ok_or_else(not_rsa)?;
    Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// `application/x-www-form-urlencoded`.
#[derive(Default)]
struct Form(Zeroizing<Vec<u8>>);

impl Form {
    fn add(&mut self, name: &str, value: &str) {
        // Reserved whole: a buffer that grows leaves copies behind that nobody wipes.
        let mut form =
            Vec::with_capacity(self.0.len().saturating_add(name.len()).saturating_add(value.len().saturating_mul(3)).saturating_add(2));
        form.extend_from_slice(&self.0);
        if !form.is_empty() {
            form.push(b'&');
        }
        form.extend_from_slice(name.as_bytes());
        form.push(b'=');
        crate::relay::percent::encode(value, &mut form);
        self.0 = Zeroizing::new(form);
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};

    use super::*;
    use crate::relay::OAuthProof;
    use crate::secrets::SecretRef;

    fn config() -> OAuthConfig {
        let secret = SecretRef::Environment("X".into());
        OAuthConfig {
            token_url: "https://login.example/t/token".into(),
            client_id: "the id".into(),
            user: "a@b.example".into(),
            scope: "https://outlook.office365.com/.default".into(),
            proof: OAuthProof::Secret(secret),
        }
    }

    #[test]
    fn a_secret_goes_into_the_body_encoded() {
        let secret = ClientSecret::from_text("a&b=c d~1%").unwrap();
        let request = make(&config(), &Proof::Secret(Arc::new(secret)), SystemTime::now()).unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "https://login.example/t/token"));
        assert_eq!(
            std::str::from_utf8(request.body()).unwrap(),
            "grant_type=client_credentials&client_id=the%20id&scope=https%3A%2F%2Foutlook.office365.com%2F.default\
             &client_secret=a%26b%3Dc%20d~1%25"
        );
    }

    #[test]
    fn an_assertion_is_what_microsoft_asks_for_and_its_signature_verifies() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let certificate = CertificateParams::new(vec!["mx.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let identity = Identity::from_text(&(certificate.pem() + &key.serialize_pem())).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let jwt = assertion(&config(), &identity, now).unwrap();
        let parts: Vec<&str> = jwt.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let json = |part: &str| serde_json::from_slice::<serde_json::Value>(&decode(part)).unwrap();
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate.der()));
        assert_eq!(json(parts[0]), serde_json::json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint }));
        let claims = json(parts[1]);
        assert_eq!(
            (&claims["aud"], &claims["iss"], &claims["sub"]),
            (&"https://login.example/t/token".into(), &"the id".into(), &"the id".into())
        );
        assert_eq!((claims["nbf"].as_u64(), claims["exp"].as_u64()), (Some(1_800_000_000), Some(1_800_000_300)));
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.der_bytes());
        assert!(public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &decode(parts[2])).is_ok());
        let again = assertion(&config(), &identity, now).unwrap();
        assert_ne!(json(again.split('.').nth(1).unwrap())["jti"], claims["jti"]);
    }
}
