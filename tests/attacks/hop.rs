//! A next hop that reads lines as carelessly as any server ever did: CR, LF and CRLF end one, NULs are thrown away.
//!
//! Whatever ends a message too early anywhere ends it here; what was smuggled then shows up among the commands.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The hop; it ends with the test process.
pub struct Careless {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What it understood of all connections.
#[derive(Clone, Default)]
pub struct Seen {
    /// Command lines.
    pub commands: Vec<String>,
    /// Messages, lines ended by LF.
    pub messages: Vec<Vec<u8>>,
}

impl Careless {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Seen::default())));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&shared);
                // A client that goes away is nothing to report.
                std::thread::spawn(move || serve(&stream, &seen).unwrap_or_default());
            }
        });
        Self { address, seen }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// The commands so far that begin like this.
    pub fn commands(&self, verb: &str) -> Vec<String> {
        self.seen().commands.into_iter().filter(|line| line.starts_with(verb)).collect()
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let (mut lines, mut output) = (Lines { input: BufReader::new(stream), after_cr: false }, stream);
    output.write_all(b"220 careless.example\r\n")?;
    while let Some(line) = lines.next()? {
        let command = String::from_utf8_lossy(&line).into_owned();
        let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
        seen.lock().unwrap().commands.push(command);
        match verb.as_str() {
            "EHLO" => {
                output.write_all(b"250-careless.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 104857600\r\n")?
            }
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                let mut message = Vec::new();
                loop {
                    let Some(line) = lines.next()? else { return Ok(()) };
                    if line == b"." {
                        break;
                    }
                    message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                    message.push(b'\n');
                }
                seen.lock().unwrap().messages.push(message);
                output.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => return output.write_all(b"221 bye\r\n"),
            _ => output.write_all(b"250 fine\r\n")?,
        }
    }
    Ok(())
}

struct Lines<'s> {
    input: BufReader<&'s TcpStream>,
    after_cr: bool,
}

impl Lines<'_> {
    fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.input.read(&mut byte)? == 1 {
            match byte[0] {
                b'\n' if std::mem::take(&mut self.after_cr) => {}
                b'\r' | b'\n' => {
                    self.after_cr = byte[0] == b'\r';
                    return Ok(Some(line));
                }
                b'\0' => {}
                other => {
                    self.after_cr = false;
                    line.push(other);
                }
            }
        }
        Ok(None)
    }
}
