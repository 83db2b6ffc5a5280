//! Access tokens: the client credentials grant of OAuth 2.0 (RFC 6749 §4.4), with a client secret or an assertion (RFC 7523).
//!
//! - One request at a time for each application and mailbox; who comes meanwhile waits for it or is served the token that is there.
//! - A token is used until shortly before its end. One that is refused is thrown away and fetched anew once; a second refusal is the
//!   operator's to mend, and for a while nothing is tried.
//! - A token endpoint that fails is left alone for 1, 2, 4 … seconds, or for as long as it says.
//! - Neither token nor secret is in a log, an error or a `Debug`.

mod answer;
mod request;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use self::answer::Granted;
use self::request::Proof;
use self::state::{Judgement, Next, State};
use super::{OAuthConfig, OAuthProof, failures};
use crate::failure::Failure;
use crate::http_client::{HttpClient, HttpSettings};
use crate::limits::{RELAY_CREDENTIALS_MAX, TOKEN_ANSWER_BYTES_MAX, TOKEN_CONNECTIONS_MAX, TOKEN_TIMEOUT};
use crate::secrets::{Credential, Secrets};

/// The tokens of all relays.
#[derive(Debug)]
pub(super) struct Tokens {
    secrets: Arc<Secrets>,
    client: HttpClient,
    /// One for each configuration in use. What a reload has left behind goes when something new comes.
    entries: Mutex<HashMap<Arc<OAuthConfig>, Arc<Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    state: Mutex<State>,
    /// Held by the caller who asks the token endpoint.
    fetching: tokio::sync::Mutex<()>,
}

/// Why there is no token. The text is for the operator and holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenError {
    /// Ours to mend, not the token endpoint's.
    is_ours: bool,
    /// The application's secret or signature is not accepted: another version of it may be.
    refuses_proof: bool,
    /// How long the token endpoint wants to be left alone.
    wait: Option<Duration>,
    text: Arc<str>,
}

impl TokenError {
    /// What it means for a delivery: the mail waits.
    pub(super) fn failure(&self) -> Failure {
        if self.is_ours { failures::login(&self.text) } else { failures::no_token(&self.text) }
    }

    fn ours(text: impl Into<Arc<str>>) -> Self {
        Self { is_ours: true, refuses_proof: false, wait: None, text: text.into() }
    }

    fn theirs(text: impl Into<Arc<str>>) -> Self {
        Self { is_ours: false, refuses_proof: false, wait: None, text: text.into() }
    }
}

impl Tokens {
    /// Nothing is asked yet.
    pub(super) fn new(secrets: Arc<Secrets>) -> Self {
        let settings = HttpSettings {
            ca: None,
            tls: true,
            connections: TOKEN_CONNECTIONS_MAX,
            timeout: TOKEN_TIMEOUT,
            response_bytes_max: TOKEN_ANSWER_BYTES_MAX,
        };
        Self { secrets, client: HttpClient::new(settings), entries: Mutex::default() }
    }

    /// The token to use now, as the password of the mailbox.
    pub(super) async fn get(&self, config: &Arc<OAuthConfig>) -> Result<Arc<Credential>, TokenError> {
        let entry = self.entry(config);
        let older = match entry.state().judge(Instant::now()) {
            Judgement::Serve(token) => return Ok(token),
            Judgement::Fail(error) => return Err(error),
            Judgement::Fetch { older } => older,
        };
        let _turn = match (entry.fetching.try_lock(), older) {
            (Ok(turn), _) => turn,
            (Err(_), Some(token)) => return Ok(token),
            (Err(_), None) => entry.fetching.lock().await,
        };
        let judgement = entry.state().judge(Instant::now());
        match judgement {
            Judgement::Serve(token) => Ok(token),
            Judgement::Fail(error) => Err(error),
            Judgement::Fetch { older } => self.fetch(&entry, config).await.or_else(|error| older.ok_or(error)),
        }
    }

    /// What to try after a next hop refused `refused`: one that is fetched now, or one that somebody else has fetched since, or nothing.
    pub(super) async fn after_refusal(&self, config: &Arc<OAuthConfig>, refused: &Credential) -> Option<Arc<Credential>> {
        let entry = self.entry(config);
        // Held over the request, so that many connections that are refused at once make one.
        let _turn = entry.fetching.lock().await;
        let next = entry.state().refuse(refused, Instant::now());
        match next {
            Next::Take(token) => Some(token),
            Next::Nothing => None,
            Next::Fetch => {
                let fresh = self.fetch(&entry, config).await.ok()?;
                // Some endpoints give the same token again until it ends.
                let is_new = *fresh != *refused;
                if !is_new {
                    entry.state().rest(Instant::now());
                }
                is_new.then_some(fresh)
            }
        }
    }

    /// A next hop has taken the token.
    pub(super) fn accepted(&self, config: &Arc<OAuthConfig>) {
        self.entry(config).state().accept();
    }

    /// The caller has the turn.
    async fn fetch(&self, entry: &Entry, config: &OAuthConfig) -> Result<Arc<Credential>, TokenError> {
        let result = self.ask(config).await;
        let mut state = entry.state();
        match result {
            Ok(granted) => {
                let token = Arc::new(Credential { username: config.user.to_string().into(), password: granted.token });
                state.learn(&token, granted.life, Instant::now());
                Ok(token)
            }
            Err(error) => {
                state.fail(&error, Instant::now());
                Err(error)
            }
        }
    }

    /// Asks with one version of the secret after the other, as far as there are any.
    async fn ask(&self, config: &OAuthConfig) -> Result<Granted, TokenError> {
        let mut proof = self.first_proof(config).await?;
        let mut tried: u32 = 1;
        loop {
            let request = request::make(config, &proof, SystemTime::now())?;
            let answer = self.client.send(request, false).await;
            let answer = answer.map_err(|error| TokenError::theirs(format!("no token from {}: {error}", config.token_url)));
            let error = match answer::read(&config.token_url, answer?, &proof) {
                Ok(granted) => {
                    match &config.proof {
                        OAuthProof::Secret(secret) => self.secrets.client_secret_accepted(secret),
                        OAuthProof::Certificate(secret) => self.secrets.identity_accepted(secret),
                    }
                    return Ok(granted);
                }
                Err(error) => error,
            };
            if !error.refuses_proof {
                return Err(error);
            }
            let next = self.next_proof(config, &proof).await;
            proof = match next {
                Some(next) if tried < RELAY_CREDENTIALS_MAX => next,
                _ => return Err(error),
            };
            tried = tried.saturating_add(1);
        }
    }

    async fn first_proof(&self, config: &OAuthConfig) -> Result<Proof, TokenError> {
        let (secret, found) = match &config.proof {
            OAuthProof::Secret(secret) => (secret, self.secrets.client_secret(secret).await.map(Proof::Secret)),
            OAuthProof::Certificate(secret) => (secret, self.secrets.identity_for_signing(secret).await.map(Proof::Certificate)),
        };
        // The cache of secrets knows itself when to ask its source again.
        let wait = Some(Duration::ZERO);
        found.map_err(|error| TokenError { wait, ..TokenError::ours(format!("no token without {secret}: {error}")) })
    }

    async fn next_proof(&self, config: &OAuthConfig, refused: &Proof) -> Option<Proof> {
        match (&config.proof, refused) {
            (OAuthProof::Secret(secret), Proof::Secret(refused)) => {
                self.secrets.client_secret_after_refusal(secret, refused).await.map(Proof::Secret)
            }
            (OAuthProof::Certificate(secret), Proof::Certificate(refused)) => {
                self.secrets.identity_after_refusal(secret, refused).await.map(Proof::Certificate)
            }
            _ => None,
        }
    }

    fn entry(&self, config: &Arc<OAuthConfig>) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if !entries.contains_key(config) {
            entries.retain(|config, _| Arc::strong_count(config) > 1);
        }
        Arc::clone(entries.entry(Arc::clone(config)).or_default())
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
