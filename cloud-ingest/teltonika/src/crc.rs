//! CRC-16/IBM (also called ARC): polynomial 0xA001 reflected, initial value 0.

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xA001
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

/// The checksum of data.
pub fn crc16(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from((crc as u8) ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_the_catalogue_of_crcs() {
        assert_eq!(super::crc16(b"123456789"), 0xBB3D);
        assert_eq!(super::crc16(b""), 0);
    }
}
