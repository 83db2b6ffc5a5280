//! What a good client never sends as content.

/// Everything that is wrong with it.
pub(super) fn faults(data: &[u8], eight_bit_announced: bool) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', data).collect();
    if ends.iter().any(|end| *end == 0 || data[end - 1] != b'\r') {
        faults.push("a bare LF in the content");
    }
    if memchr::memchr_iter(b'\r', data).any(|at| data.get(at + 1) != Some(&b'\n')) {
        faults.push("a bare CR in the content");
    }
    if !eight_bit_announced && !data.is_ascii() {
        faults.push("8-bit content without BODY=8BITMIME");
    }
    if !data.is_empty() && !data.ends_with(b"\r\n") {
        faults.push("content that does not end with CRLF");
    }
    faults
}
