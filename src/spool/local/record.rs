//! The format of a segment: a header, then records.
//!
//! Header, 32 bytes in every version: magic (8), version (4), zero (4), marker (8), zero (4), CRC32 of the 28 bytes before (4).
//! Record: marker (8), CRC32 of all that follows (4), length of the payload (4), kind (1), payload. Integers are little-endian.
//!
//! The marker is drawn at random for each segment. After a damaged record the next one is found by it, and mail cannot forge a
//! record: whoever wrote the content did not know the marker.

use bytes::Bytes;

use super::super::UnixMillis;
use crate::message::MessageId;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 32;
/// Bytes of a record before its payload.
pub(super) const RECORD_HEADER_BYTES: usize = MARKER_BYTES + CHECKED_FROM + 5;
/// What is written. Version 1, which is still read, had no [`Record::Remembered`], no
/// [`Record::Arranged`] and no held jobs.
const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"GWSPOOL\0";
const MARKER_BYTES: usize = 8;
/// In what follows the marker, the checksum covers everything from here on.
const CHECKED_FROM: usize = 4;

/// Tells the records of a segment from anything else.
pub(super) type Marker = [u8; MARKER_BYTES];

/// A record as read.
#[derive(Debug, PartialEq)]
pub(super) enum Record<'a> {
    /// A message with its jobs.
    Entry(EntryRecord<'a>),
    /// The same message again, further on: what was recorded of it before does not count any more.
    Copy(EntryRecord<'a>),
    /// An attempt is about to be made.
    Claimed { id: MessageId, job: u32, attempt: u32 },
    /// The job waits again.
    Rescheduled { id: MessageId, job: u32, attempt: u32, due: UnixMillis, state: &'a [u8], state_offset: usize },
    /// The job is done.
    Finished { id: MessageId, job: u32 },
    /// By an instruction, the job waits until it is due, or is held.
    Arranged { id: MessageId, job: u32, due: UnixMillis, held: bool },
    /// A value that belongs to no message; the last one of its key counts, and `None` is none.
    Remembered { key: &'a str, value: Option<&'a [u8]> },
    /// First record of its segment: all from this place up to this segment was written in vain and never acknowledged.
    Void { segment: u64, offset: u64 },
}

/// What an entry's record says.
#[derive(Debug, PartialEq)]
pub(super) struct EntryRecord<'a> {
    pub(super) id: MessageId,
    pub(super) stored_at: UnixMillis,
    /// Content in a file of its own; `None` when it stands at the record's end.
    pub(super) body: Option<Body>,
    pub(super) envelope: &'a [u8],
    pub(super) jobs: Vec<JobRecord<'a>>,
    pub(super) content: &'a [u8],
}

/// One job of an entry's record.
#[derive(Debug, PartialEq)]
pub(super) struct JobRecord<'a> {
    /// Position in the entry; finished jobs are missing from copies.
    pub(super) job: u32,
    pub(super) attempt: u32,
    pub(super) standing: Standing,
    pub(super) due: UnixMillis,
    pub(super) lane: &'a str,
    pub(super) state: &'a [u8],
    /// Where the state stands, from the record's start. Found by decoding, told by encoding, not stored.
    pub(super) state_offset: usize,
}

/// Whether a job can be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// When it is due.
    Waiting,
    /// No: its last attempt is under way.
    Claimed,
    /// Not until it is released.
    Held,
}

impl Standing {
    fn byte(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Claimed => 1,
            Self::Held => 2,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Waiting, Self::Claimed, Self::Held].into_iter().find(|standing| standing.byte() == byte)
    }
}

/// Content in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

/// A record ready to be written after its segment's marker; made by the caller, so that the committer has no checksum to compute.
#[derive(Debug)]
pub(super) struct Encoded {
    head: Vec<u8>,
    tail: Vec<Bytes>,
    bytes: u64,
}

impl Encoded {
    /// What follows the marker, in order.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head.as_slice()).chain(self.tail.iter().map(|bytes| bytes.as_ref()))
    }

    /// Size on disk, marker included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts length and checksum into the space that [`Writer::new`] left.
    fn seal(mut head: Vec<u8>, tail: Vec<Bytes>) -> Self {
        let tail_bytes: usize = tail.iter().map(Bytes::len).sum();
        let payload = head.len().saturating_add(tail_bytes).saturating_sub(RECORD_HEADER_BYTES - MARKER_BYTES);
        // A payload above 4 GiB is refused before it comes here (SPOOL_RECORD_BYTES_MAX).
        put(&mut head, CHECKED_FROM, &u32::try_from(payload).unwrap_or(u32::MAX).to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(head.get(CHECKED_FROM..).unwrap_or_default());
        tail.iter().for_each(|bytes| hasher.update(bytes));
        put(&mut head, 0, &hasher.finalize().to_le_bytes());
        let bytes = (MARKER_BYTES + head.len() + tail_bytes) as u64;
        Self { head, tail, bytes }
    }
}

impl Record<'_> {
    /// Encodes a record; for the content of an entry see [`encode_entry`].
    pub(super) fn encode(&self) -> Encoded {
        match self {
            Self::Entry(entry) => encode_entry(false, entry, vec![Bytes::copy_from_slice(entry.content)]).0,
            Self::Copy(entry) => encode_entry(true, entry, vec![Bytes::copy_from_slice(entry.content)]).0,
            Self::Claimed { id, job, attempt } => Writer::new(KIND_CLAIMED).id(*id).u32(*job).u32(*attempt).end(),
            Self::Rescheduled { id, job, attempt, due, state, .. } => {
                Writer::new(KIND_RESCHEDULED).id(*id).u32(*job).u32(*attempt).u64(*due).block(state).end()
            }
            Self::Finished { id, job } => Writer::new(KIND_FINISHED).id(*id).u32(*job).end(),
            Self::Arranged { id, job, due, held } => Writer::new(KIND_ARRANGED).id(*id).u32(*job).u64(*due).u8(u8::from(*held)).end(),
            Self::Remembered { key, value } => {
                Writer::new(KIND_REMEMBERED).block(key.as_bytes()).u8(u8::from(value.is_some())).block(value.unwrap_or_default()).end()
            }
            Self::Void { segment, offset } => Writer::new(KIND_VOID).u64(*segment).u64(*offset).end(),
        }
    }

    /// The place of the state in an encoded [`Record::Rescheduled`], which ends with it.
    pub(super) const RESCHEDULED_STATE_OFFSET: usize = RECORD_HEADER_BYTES + 16 + 4 + 4 + 8 + 4;
}

/// Encodes an entry whose inline content is `tail` (and not [`EntryRecord::content`]); also returns the place of each job's state
/// from the record's start.
pub(super) fn encode_entry(copy: bool, entry: &EntryRecord<'_>, tail: Vec<Bytes>) -> (Encoded, Vec<usize>) {
    let mut writer = Writer::new(if copy { KIND_COPY } else { KIND_ENTRY }).id(entry.id).u64(entry.stored_at);
    writer = match entry.body {
        Some(body) => writer.u8(1).u64(body.bytes).u32(body.crc),
        None => writer.u8(0).u64(0).u32(0),
    };
    writer = writer.block(entry.envelope).u32(u32::try_from(entry.jobs.len()).unwrap_or(u32::MAX));
    let mut offsets = Vec::with_capacity(entry.jobs.len());
    for job in &entry.jobs {
        writer = writer.u32(job.job).u32(job.attempt).u8(job.standing.byte()).u64(job.due).block(job.lane.as_bytes());
        offsets.push(MARKER_BYTES + writer.0.len() + 4);
        writer = writer.block(job.state);
    }
    (Encoded::seal(writer.0, tail), offsets)
}

/// Decodes the record that starts at `offset`; returns it with its end. `None`: there is no whole, undamaged record.
pub(super) fn decode<'a>(segment: &'a [u8], offset: usize, marker: &Marker) -> Option<(Record<'a>, usize)> {
    let mut head = Reader { rest: segment.get(offset..)?, at: 0 };
    if head.take(MARKER_BYTES)? != marker {
        return None;
    }
    let crc = head.u32()?;
    let checked = head.rest;
    let length = usize::try_from(head.u32()?).ok()?;
    let kind = head.u8()?;
    let payload = head.take(length)?;
    if crc32fast::hash(checked.get(..length.checked_add(5)?)?) != crc {
        return None;
    }
    let record = decode_payload(kind, Reader { rest: payload, at: RECORD_HEADER_BYTES })?;
    Some((record, offset.checked_add(RECORD_HEADER_BYTES)?.checked_add(length)?))
}

/// Decodes a record that was read alone, by its place.
pub(super) fn decode_alone(bytes: &[u8]) -> Option<Record<'_>> {
    let marker = bytes.first_chunk::<MARKER_BYTES>()?;
    decode(bytes, 0, marker).filter(|(_, end)| *end == bytes.len()).map(|(record, _)| record)
}

/// A segment's header.
pub(super) fn encode_segment_header(marker: &Marker) -> Vec<u8> {
    let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(marker);
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    header
}

/// What a segment's first bytes are.
#[derive(Debug, PartialEq)]
pub(super) enum SegmentHeader {
    /// This version's.
    Good(Marker),
    /// A later version's.
    Newer(u32),
    /// Cut short or damaged. If a record follows, this is its marker.
    Damaged(Option<Marker>),
}

/// Reads a segment's header.
pub(super) fn decode_segment_header(segment: &[u8]) -> SegmentHeader {
    let parse = || {
        let mut reader = Reader { rest: segment, at: 0 };
        let magic = reader.take(8)?;
        let version = reader.u32()?;
        reader.take(4)?;
        let marker: Marker = reader.take(MARKER_BYTES)?.try_into().ok()?;
        reader.take(4)?;
        let crc = reader.u32()?;
        let good = magic == MAGIC && crc == crc32fast::hash(segment.get(..SEGMENT_HEADER_BYTES - 4)?);
        good.then_some((version, marker))
    };
    match parse() {
        Some((version, _)) if version > VERSION => SegmentHeader::Newer(version),
        Some((_, marker)) => SegmentHeader::Good(marker),
        None => SegmentHeader::Damaged(
            segment.get(SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + MARKER_BYTES).and_then(|bytes| bytes.try_into().ok()),
        ),
    }
}

const KIND_ENTRY: u8 = 1;
const KIND_COPY: u8 = 2;
const KIND_CLAIMED: u8 = 3;
const KIND_RESCHEDULED: u8 = 4;
const KIND_FINISHED: u8 = 5;
const KIND_VOID: u8 = 6;
const KIND_REMEMBERED: u8 = 7;
const KIND_ARRANGED: u8 = 8;

fn decode_payload(kind: u8, mut reader: Reader<'_>) -> Option<Record<'_>> {
    Some(match kind {
        KIND_ENTRY => Record::Entry(decode_entry(reader)?),
        KIND_COPY => Record::Copy(decode_entry(reader)?),
        KIND_CLAIMED => Record::Claimed { id: reader.id()?, job: reader.u32()?, attempt: reader.u32()? },
        KIND_RESCHEDULED => Record::Rescheduled {
            id: reader.id()?,
            job: reader.u32()?,
            attempt: reader.u32()?,
            due: reader.u64()?,
            state: reader.block()?,
            state_offset: Record::RESCHEDULED_STATE_OFFSET,
        },
        KIND_FINISHED => Record::Finished { id: reader.id()?, job: reader.u32()? },
        KIND_ARRANGED => Record::Arranged { id: reader.id()?, job: reader.u32()?, due: reader.u64()?, held: reader.u8()? != 0 },
        KIND_REMEMBERED => {
            let key = std::str::from_utf8(reader.block()?).ok()?;
            let (there, value) = (reader.u8()? != 0, reader.block()?);
            Record::Remembered { key, value: there.then_some(value) }
        }
        KIND_VOID => Record::Void { segment: reader.u64()?, offset: reader.u64()? },
        _ => return None,
    })
}

fn decode_entry(mut reader: Reader<'_>) -> Option<EntryRecord<'_>> {
    let (id, stored_at) = (reader.id()?, reader.u64()?);
    let (in_file, bytes, crc) = (reader.u8()?, reader.u64()?, reader.u32()?);
    let body = (in_file != 0).then_some(Body { bytes, crc });
    let envelope = reader.block()?;
    let count = reader.u32()?;
    let mut jobs = Vec::new();
    for _ in 0..count {
        let (job, attempt) = (reader.u32()?, reader.u32()?);
        let standing = Standing::of(reader.u8()?)?;
        let due = reader.u64()?;
        let lane = std::str::from_utf8(reader.block()?).ok()?;
        let state_offset = reader.at.checked_add(4)?;
        jobs.push(JobRecord { job, attempt, standing, due, lane, state: reader.block()?, state_offset });
    }
    Some(EntryRecord { id, stored_at, body, envelope, jobs, content: reader.rest })
}

/// Builds what follows a marker.
struct Writer(Vec<u8>);

impl Writer {
    fn new(kind: u8) -> Self {
        let mut head = vec![0; RECORD_HEADER_BYTES - MARKER_BYTES - 1];
        head.push(kind);
        Self(head)
    }
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn id(mut self, id: MessageId) -> Self {
        self.0.extend_from_slice(&id.to_u128().to_le_bytes());
        self
    }
    fn block(self, bytes: &[u8]) -> Self {
        let mut writer = self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        writer.0.extend_from_slice(bytes);
        writer
    }
    fn end(self) -> Encoded {
        Encoded::seal(self.0, Vec::new())
    }
}

/// Reads from a slice; `at` is the distance from the record's start.
struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        self.at = self.at.checked_add(bytes)?;
        Some(taken)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    fn id(&mut self) -> Option<MessageId> {
        Some(MessageId::from_u128(u128::from_le_bytes(self.take(16)?.try_into().ok()?)))
    }
    fn block(&mut self) -> Option<&'a [u8]> {
        let bytes = usize::try_from(self.u32()?).ok()?;
        self.take(bytes)
    }
}

fn put(head: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(place) = head.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = *b"\x01\x9amarker";

    fn on_disk(encoded: &Encoded) -> Vec<u8> {
        let mut bytes = MARKER.to_vec();
        encoded.slices().for_each(|slice| bytes.extend_from_slice(slice));
        assert_eq!(bytes.len() as u64, encoded.bytes());
        bytes
    }

    fn samples() -> Vec<Record<'static>> {
        let id = MessageId::from_u128(0x1234_5678_9abc_def0_1234_5678);
        let job =
            |job, standing, state: &'static [u8]| JobRecord { job, attempt: 2, standing, due: 77, lane: "google", state, state_offset: 0 };
        vec![
            Record::Entry(EntryRecord {
                id,
                stored_at: 5,
                body: None,
                envelope: b"env",
                jobs: vec![job(0, Standing::Claimed, b"a"), job(1, Standing::Waiting, b"")],
                content: b"body",
            }),
            Record::Copy(EntryRecord {
                id,
                stored_at: 5,
                body: Some(Body { bytes: 9, crc: 8 }),
                envelope: b"",
                jobs: vec![job(3, Standing::Held, b"state")],
                content: b"",
            }),
            Record::Claimed { id, job: 1, attempt: 9 },
            Record::Rescheduled { id, job: 1, attempt: 9, due: u64::MAX, state: b"later", state_offset: 0 },
            Record::Finished { id, job: u32::MAX },
            Record::Arranged { id, job: 2, due: 7, held: true },
            Record::Arranged { id, job: 2, due: u64::MAX, held: false },
            Record::Remembered { key: "google day", value: Some(b"1999") },
            Record::Remembered { key: "", value: None },
            Record::Void { segment: 3, offset: 4 },
        ]
    }

    /// States must stand where their offsets say; then the offsets are cleared to compare the rest.
    fn check_and_clear_offsets<'a>(mut record: Record<'a>, bytes: &[u8]) -> Record<'a> {
        match &mut record {
            Record::Entry(entry) | Record::Copy(entry) => {
                for job in &mut entry.jobs {
                    assert_eq!(&bytes[job.state_offset..job.state_offset + job.state.len()], job.state);
                    job.state_offset = 0;
                }
            }
            Record::Rescheduled { state, state_offset, .. } => {
                assert_eq!(&bytes[*state_offset..*state_offset + state.len()], *state);
                *state_offset = 0;
            }
            _ => {}
        }
        record
    }

    #[test]
    fn records_read_back() {
        for record in samples() {
            let bytes = on_disk(&record.encode());
            let (read, end) = decode(&bytes, 0, &MARKER).unwrap();
            assert_eq!(end, bytes.len());
            assert_eq!(check_and_clear_offsets(read, &bytes), record);
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        for record in samples() {
            let bytes = on_disk(&record.encode());
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&damaged, 0, &MARKER).is_none(), "{record:?} bit {bit}");
            }
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length], 0, &MARKER).is_none(), "{record:?} cut at {length}");
            }
        }
    }

    #[test]
    fn a_header_says_its_version_and_its_damage() {
        let mut header = encode_segment_header(&MARKER);
        assert_eq!(header.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(decode_segment_header(&header), SegmentHeader::Good(MARKER));
        header[20] ^= 1;
        assert_eq!(decode_segment_header(&header), SegmentHeader::Damaged(None));
        header.extend_from_slice(&MARKER);
        assert_eq!(decode_segment_header(&header), SegmentHeader::Damaged(Some(MARKER)));
        let mut newer = encode_segment_header(&MARKER);
        newer[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let crc = crc32fast::hash(&newer[..28]).to_le_bytes();
        newer[28..].copy_from_slice(&crc);
        assert_eq!(decode_segment_header(&newer), SegmentHeader::Newer(VERSION + 1));
    }
}
