//! Stand-ins for the next hops: small SMTP servers on loopback that behave like the real ones where it matters to a relay.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How a stand-in behaves.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    /// The name in its banner.
    pub(super) hostname: Arc<str>,
    /// What AUTH PLAIN must give (RFC 4616); absent: no AUTH.
    pub(super) plain_auth: Option<&'static str>,
    /// A recipient that is turned away with 451 the first time.
    pub(super) busy_for: &'static str,
    /// A recipient that does not exist.
    pub(super) unknown: &'static str,
}

struct StandIn {
    manners: Manners,
    tls: TlsAcceptor,
    turned_away: Mutex<HashSet<String>>,
}

/// Starts a stand-in on a port of the system's choice; it serves as long as the runtime lives.
pub(super) async fn start(manners: Manners, tls: Arc<rustls::ServerConfig>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stand_in = Arc::new(StandIn { manners, tls: TlsAcceptor::from(tls), turned_away: Mutex::default() });
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let stand_in = Arc::clone(&stand_in);
            // A dialogue that breaks off is the gateway's matter; its log shows it.
            tokio::spawn(async move { stand_in.serve(tcp).await });
        }
    });
    Ok(address)
}

/// Where a dialogue stands.
#[derive(Default)]
struct Dialogue {
    encrypted: bool,
    authenticated: bool,
    recipients: usize,
}

enum Next {
    Line,
    Data,
    StartTls,
    Quit,
}

impl StandIn {
    async fn serve(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let mut stream = BufReader::new(tcp);
        let mut dialogue = Dialogue::default();
        stream.write_all(format!("220 {} ESMTP stand-in\r\n", self.manners.hostname).as_bytes()).await?;
        if self.talk(&mut stream, &mut dialogue).await? {
            let tls = self.tls.accept(stream.into_inner()).await?;
            dialogue = Dialogue { encrypted: true, ..Dialogue::default() };
            self.talk(&mut BufReader::new(tls), &mut dialogue).await?;
        }
        Ok(())
    }

    /// Talks until QUIT (false) or STARTTLS (true).
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufReader<S>, dialogue: &mut Dialogue) -> io::Result<bool> {
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(false);
            }
            let (reply, next) = self.answer(line.trim_end(), dialogue);
            stream.write_all(reply.as_bytes()).await?;
            match next {
                Next::Line => {}
                Next::Data => {
                    let size = read_data(stream).await?;
                    dialogue.recipients = 0;
                    stream.write_all(format!("250 2.0.0 OK, {size} octets taken by {}\r\n", self.manners.hostname).as_bytes()).await?;
                }
                Next::StartTls => return Ok(true),
                Next::Quit => return Ok(false),
            }
        }
    }

    fn answer(&self, line: &str, dialogue: &mut Dialogue) -> (String, Next) {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let ok = |text: &str| (format!("{text}\r\n"), Next::Line);
        match verb.as_str() {
            "EHLO" => (self.extensions(dialogue), Next::Line),
            "STARTTLS" if !dialogue.encrypted => ("220 2.0.0 go ahead\r\n".to_owned(), Next::StartTls),
            "AUTH" => match self.manners.plain_auth {
                Some(expected) if line.strip_prefix("AUTH PLAIN ") == Some(expected) => {
                    dialogue.authenticated = true;
                    ok("235 2.7.0 welcome")
                }
                _ => ok("535 5.7.8 wrong user name or password"),
            },
            "MAIL" if self.manners.plain_auth.is_some() && !dialogue.authenticated => ok("530 5.7.0 authentication required"),
            "MAIL" | "RSET" | "NOOP" => ok("250 2.0.0 OK"),
            "RCPT" => {
                let reply = self.recipient(line);
                dialogue.recipients = dialogue.recipients.saturating_add(usize::from(reply.starts_with('2')));
                ok(reply)
            }
            "DATA" if dialogue.recipients == 0 => ok("554 5.5.1 no valid recipients"),
            "DATA" => ("354 go ahead\r\n".to_owned(), Next::Data),
            "QUIT" => ("221 2.0.0 bye\r\n".to_owned(), Next::Quit),
            _ => ok("502 5.5.1 not here"),
        }
    }

    fn extensions(&self, dialogue: &Dialogue) -> String {
        let mut lines = vec![&*self.manners.hostname, "SIZE 157286400", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"];
        if !dialogue.encrypted {
            lines.push("STARTTLS");
        } else if self.manners.plain_auth.is_some() {
            lines.push("AUTH PLAIN");
        }
        let last = lines.len().saturating_sub(1);
        lines.iter().enumerate().map(|(n, line)| format!("250{}{line}\r\n", if n == last { ' ' } else { '-' })).collect()
    }

    fn recipient(&self, line: &str) -> &'static str {
        let is = |address: &str| line.contains(&format!("<{address}>"));
        let first_time = |line: &str| self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).insert(line.to_owned());
        if is(self.manners.unknown) {
            "550 5.1.1 no such user here"
        } else if is(self.manners.busy_for) && first_time(line) {
            "451 4.3.2 busy, try again later"
        } else {
            "250 2.1.5 OK"
        }
    }
}

/// Reads to the final dot.
async fn read_data<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> io::Result<usize> {
    let (mut size, mut line) = (0_usize, Vec::new());
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(size);
        }
        size = size.saturating_add(line.len());
    }
}
