//! The ARC sets of a message as they stand in its header, before anything is verified.

use crate::limits::ARC_SETS_MAX;

/// A field: name and value.
type Field<'a> = (&'a [u8], &'a [u8]);

/// Where a field of a set belongs.
type Place<'a> = for<'b> fn(&'b mut Set<'a>) -> &'b mut Option<Field<'a>>;

/// All ARC fields of a header.
#[derive(Debug, Default)]
pub(super) struct Chain<'a> {
    /// The highest instance; 0 without a field that says one.
    pub(super) highest: u32,
    /// From the first to the highest.
    pub(super) sets: Vec<Set<'a>>,
    /// There are fields at all.
    any: bool,
    /// A field has no instance, an impossible one, or one that is taken.
    broken: bool,
}

/// The fields of one instance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Set<'a> {
    pub(super) results: Option<Field<'a>>,
    pub(super) signature: Option<Field<'a>>,
    pub(super) seal: Option<Field<'a>>,
}

impl<'a> Chain<'a> {
    /// Reads the fields of a header, whatever their order.
    pub(super) fn read(fields: &[Field<'a>]) -> Self {
        let mut chain = Self::default();
        for (name, value) in fields {
            let place: Place<'a> = match name.to_ascii_lowercase().as_slice() {
                b"arc-authentication-results" => |set| &mut set.results,
                b"arc-message-signature" => |set| &mut set.signature,
                b"arc-seal" => |set| &mut set.seal,
                _ => continue,
            };
            chain.any = true;
            chain.add((name, value), place);
        }
        chain
    }

    fn add(&mut self, field: Field<'a>, place: Place<'a>) {
        let Some(instance) = instance(field.1) else {
            self.broken = true;
            return;
        };
        self.highest = self.highest.max(instance);
        let length = usize::try_from(instance).unwrap_or_default();
        if self.sets.len() < length {
            self.sets.resize(length, Set::default());
        }
        if let Some(set) = self.sets.get_mut(length.saturating_sub(1)) {
            self.broken |= place(set).replace(field).is_some();
        }
    }

    /// Whether there is no ARC field.
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// Whether each instance has each of its fields once (RFC 8617 §5.2, step 3).
    pub(super) fn is_whole(&self) -> bool {
        self.any && !self.broken && self.sets.iter().all(|set| set.results.is_some() && set.signature.is_some() && set.seal.is_some())
    }

    /// Whether the last seal calls the chain broken.
    pub(super) fn is_ended(&self) -> bool {
        let seal = self.sets.last().and_then(|set| set.seal);
        seal.is_some_and(|(_, value)| tag(value, b"cv").is_some_and(|value| value.eq_ignore_ascii_case(b"fail")))
    }
}

/// The value of `i=`; `None` for none and for what no chain has. What is beyond it breaks a chain, and does not lengthen it.
fn instance(value: &[u8]) -> Option<u32> {
    let digits = tag(value, b"i")?;
    if digits.is_empty() || digits.len() > 2 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let instance = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    (1..=ARC_SETS_MAX).contains(&instance).then_some(instance)
}

/// The value of the first tag of this name, without white space (RFC 6376 §3.2).
fn tag(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    value.split(|byte| *byte == b';').find_map(|tag| {
        let equals = memchr::memchr(b'=', tag)?;
        let (found, value) = tag.split_at_checked(equals)?;
        let bare = |octets: &[u8]| octets.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>();
        (bare(found) == name).then(|| bare(value.get(1..).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_whatever_their_order_and_what_is_broken_is_seen() {
        let set = |i: &str, cv: &str| {
            vec![
                ("ARC-Seal", format!(" i={i}; cv={cv}; b=x\r\n")),
                ("arc-message-signature", format!(" a=rsa-sha256;\r\n\ti = {i} ; b=x\r\n")),
                ("ARC-Authentication-Results", format!(" i={i}; mx.example; spf=pass (cv=fail)\r\n")),
            ]
        };
        let (one, two) = (set("1", "none"), set("2", "pass"));
        let all = |sets: &[&[(&'static str, String)]]| sets.concat();
        for (fields, highest, whole, ended) in [
            (vec![], 0, false, false),
            (one.clone(), 1, true, false),
            (all(&[&two, &one]), 2, true, false),
            (all(&[&one, &two]), 2, true, false),
            (two.clone(), 2, false, false),
            (all(&[&one, &two[1..]]), 2, false, false),
            (all(&[&one, &one]), 1, false, false),
            (all(&[&one, &set("2", " fail ")]), 2, true, true),
            (all(&[&one, &set("0", "none")]), 1, false, false),
            (all(&[&one, &set("51", "pass")]), 1, false, false),
            (all(&[&one, &set("4294967298", "pass")]), 1, false, false),
            (all(&[&one, &set("x", "pass")]), 1, false, false),
            (all(&[&one, &[("ARC-Seal", " nothing".to_owned())]]), 1, false, false),
        ] {
            let borrowed: Vec<Field<'_>> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            let chain = Chain::read(&borrowed);
            assert_eq!((chain.highest, chain.is_whole(), chain.is_ended()), (highest, whole, ended), "{fields:?}");
            assert_eq!(chain.is_empty(), fields.is_empty());
        }
    }
}
