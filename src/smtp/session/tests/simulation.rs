//! Thousands of whole dialogues, each from a seed: a client that knows the order of commands or not, pipelines or not; a network that
//! cuts its bytes anywhere, stalls, or breaks off; a driver that answers at once or later, with or without a login, with patience or
//! under strain. A model that knows commands and no bytes says what each dialogue must come to: the codes of all replies, and the
//! messages taken, to the octet.
//!
//! A seed that fails is in the panic's text; `GATEWAY_SEED=N` runs it alone, `GATEWAY_SEEDS=N` runs so many.

mod script;

use std::collections::VecDeque;

use self::script::script;
use super::*;
use crate::random::{Random, seeds};
use crate::smtp::{Status, WireForm, auth_encodings};

const SEEDS: u64 = 4000;
const IDLE: Duration = Duration::from_secs(300);
const MESSAGE_BYTES_MAX: usize = 400;
const ERRORS_MAX: u32 = 6;
const BAD_RECIPIENTS_MAX: u32 = 3;
const LOGINS_REFUSED_MAX: u32 = 2;
/// Errors, and bad recipients, under strain.
const STRAINED_MAX: u32 = 1;

#[test]
fn every_dialogue_ends_as_the_model_says() {
    for seed in seeds(SEEDS) {
        let world = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(world.is_ok(), "seed {seed} failed; run it alone with GATEWAY_SEED={seed}");
    }
}

/// What the driver says to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Yes,
    No,
    Later,
}

impl Mood {
    fn decision(self) -> Result<(), Reply> {
        match self {
            Self::Yes => Ok(()),
            Self::No => Err(Reply::fixed(550, Status(5, 7, 1), "No")),
            Self::Later => Err(Reply::fixed(450, Status(4, 7, 1), "Later")),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Later => "later",
        }
    }

    fn of(text: &str) -> Self {
        [Self::No, Self::Later].into_iter().find(|mood| text.starts_with(mood.word())).unwrap_or(Self::Yes)
    }
}

#[derive(Clone, Debug)]
enum Said {
    Hello(Mood, bool),
    Mail(Mood),
    MailTooLarge,
    Rcpt(Mood),
    /// DATA, and the content that follows a 354.
    Data(Vec<u8>),
    Bdat(Vec<u8>, bool),
    Rset,
    Noop,
    Nonsense,
    LongLine,
    BadChunk,
    Quit,
    /// AUTH with all that belongs to it.
    Plain(Mood),
    /// AUTH that is followed by answers.
    Login,
    /// One of them, or a line that means nothing.
    Answer(Mood),
    /// Takes AUTH back.
    Star,
}

impl Said {
    fn wire(&self) -> Vec<u8> {
        let text = match self {
            Self::Hello(mood, true) => format!("EHLO {}.example", mood.word()),
            Self::Hello(mood, false) => format!("helo {}", mood.word()),
            Self::Mail(mood) => format!("MAIL FROM:<{}@x.example>", mood.word()),
            Self::MailTooLarge => format!("MAIL FROM:<yes@x.example> SIZE={}", MESSAGE_BYTES_MAX + 1),
            Self::Rcpt(mood) => format!("Rcpt To:<{}@y.example>", mood.word()),
            Self::Data(_) => "DATA".into(),
            Self::Bdat(chunk, last) => format!("BDAT {}{}", chunk.len(), if *last { " LAST" } else { "" }),
            Self::Rset => "RSET".into(),
            Self::Noop => "NOOP of no interest".into(),
            Self::Nonsense => "XYZZY".into(),
            Self::LongLine => "NOOP ".repeat(1000),
            Self::BadChunk => "BDAT ten".into(),
            Self::Quit => "QUIT".into(),
            Self::Plain(mood) => format!("AUTH PLAIN {}", auth_encodings(mood.word(), "x")[1].as_str()),
            Self::Login => "auth login".into(),
            Self::Answer(mood) => auth_encodings("", mood.word())[0].to_string(),
            Self::Star => "*".into(),
        };
        let mut wire = format!("{text}\r\n").into_bytes();
        if let Self::Bdat(chunk, _) = self {
            wire.extend_from_slice(chunk);
        }
        wire
    }
}

/// The session as commands see it.
#[derive(Debug, Default)]
struct Model {
    asks_for_login: bool,
    strained: bool,
    authenticated: bool,
    /// In AUTH LOGIN: the answer that came, if one has.
    exchange: Option<Option<Mood>>,
    logins_refused: u32,
    greeted: bool,
    transaction: Option<(usize, usize)>,
    chunks: Option<Vec<u8>>,
    chunk_refused: bool,
    errors: u32,
    bad_recipients: u32,
    good_recipients: u32,
    closed: bool,
    codes: Vec<u16>,
    messages: Vec<Vec<u8>>,
}

impl Model {
    fn reset(&mut self) {
        (self.transaction, self.chunks, self.chunk_refused) = (None, None, false);
    }

    fn reply(&mut self, code: u16) {
        self.codes.push(code);
        self.closed |= code == 421;
        if code >= 500 {
            self.errors += 1;
            if self.errors >= self.patience(ERRORS_MAX) {
                self.codes.push(421);
                self.closed = true;
            }
        }
    }

    fn patience(&self, max: u32) -> u32 {
        if self.strained { STRAINED_MAX } else { max }
    }

    fn hears_login(&mut self, mood: Mood) {
        self.authenticated |= mood == Mood::Yes;
        self.reply(mood.decision().err().map_or(235, |reply| reply.code));
        self.logins_refused += u32::from(mood == Mood::No);
        if mood == Mood::No && self.logins_refused >= LOGINS_REFUSED_MAX && !self.closed {
            self.codes.push(421);
            self.closed = true;
        }
    }

    /// AUTH, and the lines behind it.
    fn hears_auth(&mut self, said: &Said) {
        match (said, self.exchange.take()) {
            (Said::Answer(name), Some(None)) => {
                self.exchange = Some(Some(*name));
                self.reply(334);
            }
            (Said::Answer(_), Some(Some(name))) => self.hears_login(name),
            // Whatever it is, it is read as an answer.
            (Said::Star | Said::Plain(_) | Said::Login, Some(_)) => self.reply(501),
            (Said::Answer(_) | Said::Star, None) => self.reply(500),
            _ if !self.asks_for_login => self.reply(502),
            _ if !self.greeted || self.authenticated => self.reply(503),
            (Said::Plain(mood), _) => self.hears_login(*mood),
            _ => {
                self.exchange = Some(None);
                self.reply(334);
            }
        }
    }

    /// Whether the code is 354.
    fn hears(&mut self, said: &Said) -> bool {
        let mood = |mood: &Mood, yes: u16| mood.decision().err().map_or(yes, |reply| reply.code);
        let needs_login = self.asks_for_login && !self.authenticated;
        let code = match said {
            Said::Plain(_) | Said::Login | Said::Answer(_) | Said::Star => {
                self.hears_auth(said);
                return false;
            }
            Said::Mail(_) | Said::MailTooLarge | Said::Rcpt(_) | Said::Data(_) | Said::Bdat(..) if needs_login => 530,
            Said::Hello(how, _) => {
                if *how == Mood::Yes {
                    self.greeted = true;
                    self.reset();
                }
                mood(how, 250)
            }
            Said::Mail(_) | Said::MailTooLarge if !self.greeted || self.transaction.is_some() => 503,
            Said::MailTooLarge => 552,
            Said::Mail(how) => {
                self.transaction = (*how == Mood::Yes).then_some((0, 0));
                mood(how, 250)
            }
            Said::Rcpt(how) => match &mut self.transaction {
                Some((tried, taken)) if self.chunks.is_none() => {
                    *tried += 1;
                    *taken += usize::from(*how == Mood::Yes);
                    mood(how, 250)
                }
                _ => 503,
            },
            Said::Data(_) => match self.transaction {
                Some((1.., 0)) if !self.chunk_refused => 554,
                Some((_, 1..)) if !self.chunk_refused && self.chunks.is_none() => 354,
                _ => 503,
            },
            Said::Bdat(chunk, last) => self.hears_chunk(chunk, *last),
            Said::Rset => {
                self.reset();
                250
            }
            Said::Noop => 250,
            Said::Nonsense | Said::LongLine => 500,
            Said::BadChunk | Said::Quit => {
                self.closed = true;
                if matches!(said, Said::Quit) { 221 } else { 501 }
            }
        };
        if self.closed {
            self.codes.push(code);
        } else if code == 550 && matches!(said, Said::Rcpt(_)) {
            self.refuses_recipient();
        } else {
            self.good_recipients += u32::from(code == 250 && matches!(said, Said::Rcpt(_)));
            self.reply(code);
        }
        code == 354
    }

    /// Refused recipients are counted apart from errors, against those accepted.
    fn refuses_recipient(&mut self) {
        self.codes.push(550);
        self.bad_recipients += 1;
        if self.bad_recipients >= self.good_recipients + self.patience(BAD_RECIPIENTS_MAX) {
            self.codes.push(421);
            self.closed = true;
        }
    }

    fn hears_chunk(&mut self, chunk: &[u8], last: bool) -> u16 {
        let refused = match self.transaction {
            Some((_, 1..)) if !self.chunk_refused => {
                let so_far = self.chunks.get_or_insert_default();
                so_far.extend_from_slice(chunk);
                let cut = if last { so_far.len() } else { so_far.len() - usize::from(so_far.ends_with(b"\r")) };
                refusal(&so_far[..cut]).or_else(|| (so_far.len() > MESSAGE_BYTES_MAX).then_some(552))
            }
            Some((1.., 0)) if !self.chunk_refused => Some(554),
            _ => Some(503),
        };
        self.chunk_refused |= refused.is_some() && self.transaction.is_some();
        if let Some(code) = refused {
            self.chunks = None;
            if last {
                self.reset();
            }
            return code;
        }
        if last {
            let message = self.chunks.take().unwrap_or_default();
            self.takes(message);
        }
        250
    }

    fn hears_content(&mut self, content: &[u8]) {
        self.reset();
        match refusal(content) {
            Some(code) => self.reply(code),
            None => {
                self.takes(content.to_vec());
                self.reply(250);
            }
        }
    }

    fn takes(&mut self, message: Vec<u8>) {
        self.reset();
        self.messages.push(message);
        (self.errors, self.bad_recipients, self.good_recipients) = (0, 0, 0);
    }
}

fn refusal(content: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(content).replace("\r\n", "");
    if text.contains(['\r', '\n']) {
        return Some(550);
    }
    (content.len() > MESSAGE_BYTES_MAX).then_some(552)
}

/// One dialogue.
struct World {
    random: Random,
    session: Session,
    now: Instant,
    model: Model,
    /// What the client has yet to say.
    script: VecDeque<Said>,
    /// Content that waits for its 354.
    content: Option<Vec<u8>>,
    /// Bytes between client and server.
    wire: VecDeque<u8>,
    /// What was said, with the bytes that must still arrive until it is understood; content has no command.
    under_way: VecDeque<(Option<Said>, Vec<u8>, usize)>,
    question: Option<Result<(), Reply>>,
    output: Vec<u8>,
    messages: Vec<Vec<u8>>,
    /// What was taken of the message that is coming.
    put_away: Vec<u8>,
    closed: bool,
    timed_out: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let asks_for_login = random.percent(40);
        let config = SessionConfig {
            message_bytes_max: MESSAGE_BYTES_MAX as u64,
            errors_max: ERRORS_MAX,
            bad_recipients_max: BAD_RECIPIENTS_MAX,
            logins_refused_max: LOGINS_REFUSED_MAX,
            auth: asks_for_login,
            idle_timeout: IDLE,
            session_timeout: IDLE * 100,
            ..SessionConfig::new("mx.example")
        };
        let now = Instant::now();
        let mut session = Session::new(Arc::new(config), now);
        // Logins are for TLS; what is encrypted is not this simulation's.
        session.tls_established();
        session.greet();
        let script = script(&mut random, asks_for_login);
        let model = Model { asks_for_login, codes: vec![220], ..Model::default() };
        let (wire, under_way, output, messages, put_away) = Default::default();
        let (content, question, closed, timed_out) = (None, None, false, false);
        Self { random, session, now, model, script, content, wire, under_way, question, output, messages, put_away, closed, timed_out }
    }

    fn run(mut self) {
        self.serve();
        while !self.closed {
            match self.random.below(100) {
                0..50 => self.deliver(),
                50..85 => self.speak(),
                85..97 => self.answer(),
                97..98 => self.stall(),
                98..99 => self.strain(),
                // The client is gone in the middle of whatever it was.
                _ if self.random.percent(20) => break,
                _ => {}
            }
            if self.script.is_empty() && self.wire.is_empty() && self.content.is_none() && self.question.is_none() {
                break;
            }
        }
        self.check();
    }

    /// The client says one thing or several, without a look at the replies where pipelining lets it (RFC 2920 §3.1).
    fn speak(&mut self) {
        for _ in 0..=self.random.below(4) {
            // It waits for what it must know: whether it may send content.
            if self.content.is_some() || self.under_way.iter().any(|(said, ..)| matches!(said, Some(Said::Data(_)))) {
                return;
            }
            let Some(said) = self.script.pop_front() else { return };
            let wire = said.wire();
            self.send(Some(said), Vec::new(), &wire);
        }
    }

    fn send(&mut self, said: Option<Said>, content: Vec<u8>, wire: &[u8]) {
        self.wire.extend(wire);
        self.under_way.push_back((said, content, wire.len()));
    }

    /// The network brings some bytes.
    fn deliver(&mut self) {
        let most = if self.random.percent(30) { 4000 } else { 12 };
        let count = usize::try_from(self.random.below(most)).unwrap().min(self.wire.len());
        let bytes: Vec<u8> = self.wire.drain(..count).collect();
        self.session.input().extend_from_slice(&bytes);
        self.understand(count);
        self.serve();
    }

    /// Tells the model what has come whole.
    fn understand(&mut self, mut count: usize) {
        while let Some((said, content, missing)) = self.under_way.front_mut() {
            let arrived = count.min(*missing);
            *missing -= arrived;
            count -= arrived;
            if *missing > 0 || self.model.closed {
                return;
            }
            match said.take() {
                Some(said) => {
                    if self.model.hears(&said)
                        && let Said::Data(content) = said
                    {
                        self.content = Some(content);
                    }
                }
                None => self.model.hears_content(content),
            }
            self.under_way.pop_front();
        }
    }

    /// The driver's turn, until the session waits for something.
    fn serve(&mut self) {
        loop {
            let event = self.session.poll(self.now);
            let mood = match event {
                Event::NeedInput => {
                    self.put_away();
                    break;
                }
                Event::Close => {
                    self.closed = true;
                    break;
                }
                Event::Helo { name, .. } => Mood::of(&name),
                Event::Mail { reverse_path, .. } => Mood::of(reverse_path.as_str()),
                Event::Rcpt { address, .. } => Mood::of(address.as_str()),
                Event::Auth { login } => Mood::of(&login.username),
                Event::Data => Mood::Yes,
                Event::Message { data, taken } => {
                    if taken == 0 {
                        self.put_away.clear();
                    }
                    assert_eq!(self.put_away.len(), taken);
                    self.messages.push([std::mem::take(&mut self.put_away), data.to_vec()].concat());
                    self.session.finish_message(Reply::fixed(250, Status(2, 0, 0), "Taken"));
                    continue;
                }
                Event::StartTls | Event::Reset | Event::Refused { .. } => continue,
            };
            // A question may take its time; meanwhile the network goes on.
            if self.random.percent(20) {
                self.question = Some(mood.decision());
                break;
            }
            self.session.answer(mood.decision());
        }
        self.output.extend_from_slice(self.session.output());
        self.session.output().clear();
        self.read_replies();
    }

    fn answer(&mut self) {
        if let Some(decision) = self.question.take() {
            self.session.answer(decision);
            self.serve();
        }
    }

    /// As a driver does with what is too much for memory.
    fn put_away(&mut self) {
        if self.session.message_bytes_taken() == 0 {
            self.put_away.clear();
        }
        if self.random.percent(20) {
            self.put_away.extend(self.session.take_message_bytes());
        }
    }

    /// The client sees the 354 that it waits for.
    fn read_replies(&mut self) {
        if self.content.is_some() && self.output.ends_with(b"354 End data with <CR><LF>.<CR><LF>\r\n") {
            let content = self.content.take().unwrap_or_default();
            let mut form = WireForm::data();
            form.push(Bytes::copy_from_slice(&content));
            form.finish();
            let wire = std::iter::from_fn(|| form.next_piece()).collect::<Vec<Bytes>>().concat();
            self.send(None, content, &wire);
        }
    }

    /// Nothing comes for a while; too long a while ends the session, unless it is the driver that keeps it waiting.
    fn stall(&mut self) {
        let patient = self.random.percent(80);
        self.now += if patient { Duration::from_secs(self.random.below(2)) } else { IDLE };
        if !patient && self.question.is_none() {
            self.timed_out = true;
            self.serve();
            assert!(self.closed, "a session outlived its patience");
        }
    }

    /// Room becomes scarce, or there is some again. What is under way is judged as it arrives.
    fn strain(&mut self) {
        if self.question.is_none() {
            self.model.strained = !self.model.strained;
            let strain = Strain { idle_timeout: IDLE, errors_max: STRAINED_MAX };
            self.session.strain(self.model.strained.then_some(strain));
        }
    }

    fn check(self) {
        let text = String::from_utf8(self.output).expect("replies are ASCII");
        let finals = text.split_terminator("\r\n").filter(|line| line.as_bytes().get(3) == Some(&b' '));
        let codes: Vec<u16> = finals.map(|line| line[..3].parse().expect("a code")).collect();
        let mut expected = self.model.codes;
        if self.timed_out {
            expected.push(421);
        } else if self.question.is_some() {
            // The driver still thinks: what came behind its question is not answered yet.
            expected.truncate(codes.len());
        }
        assert_eq!(codes, expected, "{text}");
        assert!(self.closed == self.model.closed || self.timed_out || self.question.is_some());
        assert!(self.model.messages.starts_with(&self.messages));
        assert!(self.messages.len() == self.model.messages.len() || !self.closed || self.timed_out);
    }
}
