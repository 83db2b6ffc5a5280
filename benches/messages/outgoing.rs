//! The message as it goes on: with our fields and the rules' changes, as slices, with its dots doubled.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use gateway::message::{Content, Edits, Original};
use gateway::smtp::{WireForm, line_ends_are_crlf};

use super::{LINE, message};

const TRACE: Bytes = Bytes::from_static(b"Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0000\r\n");
const MIB: usize = 1024 * 1024;

pub(super) fn rendering(c: &mut Criterion) {
    let mut group = c.benchmark_group("rendering, 10 KB");
    let original = Original::parse(message(10_000, LINE).into()).expect("a small header");
    let mut edits = Edits::default();
    edits.add_header("X-Acme-Route", "exchange");
    edits.remove_header(&original, "To");
    edits.prefix_subject(&original, "[EXT] ");
    let rendered = String::from_utf8(edits.render(&original, TRACE).to_vec().expect("in memory")).expect("ASCII");
    let header = "X-Acme-Route: exchange\r\nFrom: alice@sender.example\r\nSubject: [EXT] Minutes\r\n\r\n";
    assert!(rendered.starts_with(&format!("{}{header}{LINE}", String::from_utf8_lossy(&TRACE))), "{rendered}");
    group.bench_function("unchanged", |b| b.iter(|| Edits::default().render(black_box(&original), TRACE)));
    group.bench_function("a field added, one removed, one replaced", |b| b.iter(|| edits.render(black_box(&original), TRACE)));
    group.finish();
}

pub(super) fn on_the_wire(c: &mut Criterion) {
    let mut group = c.benchmark_group("on the wire");
    for (name, octets, line) in
        [("10 KB", 10_000, LINE.to_owned()), ("1 MiB", MIB, LINE.to_owned()), ("1 MiB, a dot before each line", MIB, format!(".{LINE}"))]
    {
        let bytes = message(octets, &line);
        let text = String::from_utf8(bytes.clone()).expect("ASCII");
        let content = Content::from(Bytes::from(bytes));
        let mut sent = Vec::new();
        send(&content, |piece| sent.extend_from_slice(piece));
        assert!(sent == format!("{}.\r\n", text.replace("\r\n.", "\r\n..")).into_bytes(), "{name}");
        let bare = Bytes::from(text.replace("elit, ", "elit\n"));
        assert_eq!((line_ends_are_crlf(&content), line_ends_are_crlf(&bare.into())), (Ok(true), Ok(false)));
        group.throughput(Throughput::Bytes(content.len() as u64));
        group.bench_function(format!("dots doubled, {name}"), |b| {
            b.iter(|| {
                let mut octets = 0;
                send(black_box(&content), |piece| octets += piece.len());
                octets
            });
        });
        group.bench_function(format!("line ends, {name}"), |b| b.iter(|| line_ends_are_crlf(black_box(&content))));
    }
    group.finish();
}

/// What goes after 354, slice by slice.
fn send(content: &Content, mut write: impl FnMut(&[u8])) {
    let mut form = WireForm::data();
    for piece in content.pieces() {
        form.push(piece.in_memory().expect("in memory").clone());
        while let Some(piece) = form.next_piece() {
            write(&piece);
        }
    }
    form.finish();
    while let Some(piece) = form.next_piece() {
        write(&piece);
    }
}
