//! Vault keys made of age identities, so that one secret of a site opens both.
//!
//! An identity of age is `AGE-SECRET-KEY-1…`: Bech32 (BIP 173) over 32 bytes. The vault's key is
//! derived from them with HKDF-SHA-256 under a label of its own, so that neither tells the other.

use ring::hkdf;

use super::KEY_BYTES;

/// Of the identity's text, in lower case.
const HUMAN_PART: &str = "age-secret-key-";

/// What the derived key is for.
const LABEL: &[u8] = b"tollgate billing vault v1";

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Characters of the checksum at the end.
const CHECKSUM_CHARS: usize = 6;

/// The vault key of the first identity in a text: a file of age-keygen, where `#` begins comments.
/// `None` where there is none.
#[must_use]
pub fn key_of_identity(text: &str) -> Option<[u8; KEY_BYTES]> {
    let lines = text.lines().map(str::trim);
    let line = lines.filter(|line| !line.is_empty()).find(|line| !line.starts_with('#'))?;
    let secret = decode(line)?;
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
    let derived = salt.extract(&secret);
    let derived = derived.expand(&[LABEL], hkdf::HKDF_SHA256).ok()?;
    let mut key = [0; KEY_BYTES];
    derived.fill(&mut key).ok()?;
    Some(key)
}

/// The 32 bytes of a Bech32 text with the human part of identities.
fn decode(text: &str) -> Option<[u8; 32]> {
    let is_one_case = !text.bytes().any(|byte| byte.is_ascii_lowercase())
        || !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let text = text.to_ascii_lowercase();
    let (human, encoded) = text.rsplit_once('1')?;
    if !is_one_case || human != HUMAN_PART {
        return None;
    }
    let place = |byte| ALPHABET.iter().position(|known| *known == byte);
    let places: Option<Vec<usize>> = encoded.bytes().map(place).collect();
    let digits: Vec<u32> = places?.into_iter().filter_map(|at| u32::try_from(at).ok()).collect();
    let expanded = human.bytes().map(|byte| u32::from(byte >> 5));
    let expanded = expanded.chain([0]).chain(human.bytes().map(|byte| u32::from(byte & 31)));
    if digits.len() < CHECKSUM_CHARS || checksum(expanded.chain(digits.iter().copied())) != 1 {
        return None;
    }
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for digit in &digits[..digits.len() - CHECKSUM_CHARS] {
        held = (held << 5 | digit) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    bytes.try_into().ok()
}

/// The polynomial of BIP 173: 1 where the checksum at the end is right.
fn checksum(digits: impl Iterator<Item = u32>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    digits.fold(1, |sum, digit| {
        let top = sum >> 25;
        let next = (sum & 0x1ff_ffff) << 5 ^ digit;
        (0..5).filter(|bit| top >> bit & 1 == 1).fold(next, |sum, bit| sum ^ GENERATOR[bit])
    })
}

#[cfg(test)]
mod tests {
    use super::{decode, key_of_identity};

    /// The zero identity, with the checksum that BIP 173 gives it.
    fn identity(bytes: [u8; 32]) -> String {
        let mut digits = Vec::new();
        let (mut held, mut bits) = (0_u32, 0);
        for byte in bytes {
            held = held << 8 | u32::from(byte);
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                digits.push(held >> bits & 31);
            }
            held &= 0xff;
        }
        digits.push(held << (5 - bits) & 31);
        let human = super::HUMAN_PART;
        let expanded = human.bytes().map(|byte| u32::from(byte >> 5)).chain([0]);
        let expanded = expanded.chain(human.bytes().map(|byte| u32::from(byte & 31)));
        let all = expanded.chain(digits.iter().copied()).chain([0; 6]);
        let sum = super::checksum(all) ^ 1;
        digits.extend((0..6).map(|at| sum >> (5 * (5 - at)) & 31));
        let text = digits.iter().map(|digit| char::from(super::ALPHABET[*digit as usize]));
        format!("{human}1{}", text.collect::<String>()).to_uppercase()
    }

    #[test]
    fn an_identity_makes_one_key_and_a_damaged_one_none() {
        // The example of age's own README; its bytes are public.
        let known = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        assert_eq!(decode(known), Some([0x42; 32]), "a vector of age's own tests");
        let text = identity([7; 32]);
        assert_eq!(decode(&text), Some([7; 32]));
        let key = key_of_identity(&format!("# created: today\n# public key: age1…\n{text}\n"));
        assert_ne!(key.unwrap(), [7; 32]);
        assert_eq!(key, key_of_identity(&text));
        assert_ne!(key, key_of_identity(&identity([8; 32])));
        for bad in ["", "# nothing", "age1xyz", &text[..text.len() - 1], &text.replace('Q', "P")] {
            assert_eq!(key_of_identity(bad), None, "{bad}");
        }
    }
}
