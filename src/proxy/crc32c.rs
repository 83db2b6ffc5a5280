//! CRC-32C (RFC 3720 §12.1, RFC 9260 Appendix A), the checksum of a header of version 2. CRC-32 as in zip files has another
//! polynomial.

/// Castagnoli's polynomial, bits reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What each octet does to the checksum.
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The checksum of these octets.
pub(super) fn checksum(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let crc = bytes.into_iter().fold(u32::MAX, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default() ^ (crc >> 8)
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_3720_b4() {
        let increasing = 0..32_u8;
        assert_eq!(checksum([0; 32]), 0x8A91_36AA);
        assert_eq!(checksum([0xFF; 32]), 0x62A8_AB43);
        assert_eq!(checksum(increasing.clone()), 0x46DD_794E);
        assert_eq!(checksum(increasing.rev()), 0x113F_DB5C);
        assert_eq!(checksum(*b"123456789"), 0xE306_9283);
        assert_eq!(checksum([]), 0);
    }
}
