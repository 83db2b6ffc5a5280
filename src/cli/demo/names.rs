//! A stand-in for DNS: what the domains of the demonstration publish. Every other name does not exist.

use std::io;
use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

/// Names with their TXT records: who may send for the domain, and what it asks for where that fails.
const RECORDS: [(&str, &str); 4] = [
    ("partner.example.", "v=spf1 ip4:203.0.113.0/24 -all"),
    ("_dmarc.partner.example.", "v=DMARC1; p=reject"),
    ("gmail.com.", "v=spf1 ip4:192.0.2.0/24 ~all"),
    ("_dmarc.gmail.com.", "v=DMARC1; p=none; sp=quarantine"),
];

/// Seconds that an answer may be kept.
const TTL: u32 = 60;

/// Answers for as long as the process lives.
pub(super) async fn start() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = [0_u8; 1500];
        while let Ok((len, client)) = socket.recv_from(&mut buffer).await {
            let Some(answer) = buffer.get(..len).and_then(answer) else { continue };
            let _ = socket.send_to(&answer, client).await;
        }
    });
    Ok(address)
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let mut answer = query.into_response();
    let name = question.name().to_ascii().to_ascii_lowercase();
    match RECORDS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) if question.query_type() == RecordType::TXT => {
            let data = RData::TXT(TXT::new(vec![(*text).to_owned()]));
            answer.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
        }
        // It exists, and has no such record.
        Some(_) => {}
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.to_vec().ok()
}
