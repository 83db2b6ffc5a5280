//! Texts and addresses: a value that fits some tests and none of others, or the proof that there is none.
//!
//! A proof comes from pieces that contradict each other: two beginnings of which neither begins the other, a domain that is fixed by what
//! the address ends with, a text that must not be contained in what must. A value is built from the pieces and tried. Where neither
//! succeeds, it cannot be told.

use super::{Part, Solution, Test};
use crate::limits::{ANALYSIS_CHOICES_MAX, ANALYSIS_COMPARISONS_MAX, ANALYSIS_VALUES_MAX};
use crate::rules::{AttachmentPart, Folded, TextTest, Value};

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An address, or the empty text of the null sender.
    Sender,
    /// An address.
    Recipient,
    /// A host name, or none.
    Name,
    /// An address among several.
    Mailbox,
    /// A line of text among several.
    Line,
}

impl Shape {
    fn is_address(self) -> bool {
        matches!(self, Self::Sender | Self::Recipient | Self::Mailbox)
    }
}

/// A test of a part, that is to hold or not.
pub(super) type Wanted<'a> = (Part, &'a TextTest);

/// Whether a test fits a part of a text.
pub(super) fn fits(part: Part, test: &TextTest, text: &str) -> bool {
    match part {
        Part::Whole => test.fits(Value::Folded(text)),
        Part::Domain => domain(text).is_some_and(|domain| test.fits(Value::Folded(domain))),
        Part::Base => test.fits(Value::Folded(&base(text))),
    }
}

/// Whether a test fits an attachment's name and media type.
pub(super) fn attachment_fits(part: AttachmentPart, test: &TextTest, (name, media_type): &(Option<String>, String)) -> bool {
    let text = match part {
        AttachmentPart::Name => name.as_deref(),
        AttachmentPart::Type => Some(media_type.as_str()),
        AttachmentPart::Extension => name.as_deref().and_then(extension),
    };
    text.is_some_and(|text| test.fits(Value::Folded(text)))
}

/// A subject with one value or none.
pub(super) fn one(tests: &[(Test<'_>, bool)], shape: Shape) -> Solution<Option<String>> {
    let (wanted, unwanted) = divided(tests);
    let may_be_none = shape == Shape::Name && wanted.is_empty();
    match text(&wanted, &unwanted, shape) {
        Solution::Fits(text) => Solution::Fits(Some(text)),
        _ if may_be_none => Solution::Fits(None),
        Solution::Never => Solution::Never,
        Solution::Unknown => Solution::Unknown,
    }
}

/// A subject with any number of values: each test that is to hold has a value of its own, if one value cannot have them all.
pub(super) fn many(tests: &[(Test<'_>, bool)], shape: Shape) -> Solution<Vec<String>> {
    let (wanted, unwanted) = divided(tests);
    if wanted.is_empty() {
        return Solution::Fits(Vec::new());
    }
    if let Solution::Fits(text) = text(&wanted, &unwanted, shape) {
        return Solution::Fits(vec![text]);
    }
    let mut texts = Vec::new();
    let mut is_known = true;
    for one in &wanted {
        match text(std::slice::from_ref(one), &unwanted, shape) {
            Solution::Fits(text) => texts.push(text),
            Solution::Never => return Solution::Never,
            Solution::Unknown => is_known = false,
        }
    }
    if is_known { Solution::Fits(texts) } else { Solution::Unknown }
}

/// The attachments of a message, and whether there are any.
pub(super) fn attachments(tests: &[(Test<'_>, bool)]) -> Solution<Vec<(Option<String>, String)>> {
    let part_of = |test: &Test<'_>, wanted: AttachmentPart| matches!(test, Test::Attachment(part, _) if *part == wanted);
    let of = |holds: bool| tests.iter().filter(move |(_, wanted)| *wanted == holds).map(|(test, _)| test);
    let mut found: Vec<(Option<String>, String)> = Vec::new();
    let mut is_known = true;
    for wanted in of(true) {
        let Test::Attachment(part, test) = wanted else { continue };
        let same = of(false).filter(|other| part_of(other, *part)).filter_map(as_text);
        let unwanted: Vec<Wanted<'_>> = same.map(|test| (Part::Whole, test)).collect();
        match text(&[(Part::Whole, test)], &unwanted, Shape::Line) {
            Solution::Fits(text) => {
                let attachment = match part {
                    AttachmentPart::Name => (Some(text), "application/octet-stream".to_owned()),
                    AttachmentPart::Type => (None, text),
                    AttachmentPart::Extension => (Some(format!("file.{text}")), "application/octet-stream".to_owned()),
                };
                let is_good =
                    of(false).all(|test| !matches!(test, Test::Attachment(part, test) if attachment_fits(*part, test, &attachment)));
                is_known &= is_good && attachment_fits(*part, test, &attachment);
                found.push(attachment);
            }
            Solution::Never => return Solution::Never,
            Solution::Unknown => is_known = false,
        }
    }
    for (test, holds) in tests {
        if matches!(test, Test::Flag(_)) {
            if !holds && of(true).any(|test| matches!(test, Test::Attachment(..) | Test::Flag(_))) {
                return Solution::Never;
            }
            if *holds && found.is_empty() {
                let some = (Some("file.dat".to_owned()), "application/octet-stream".to_owned());
                is_known &= of(false).all(|test| !matches!(test, Test::Attachment(part, test) if attachment_fits(*part, test, &some)));
                found.push(some);
            }
        }
    }
    if is_known { Solution::Fits(found) } else { Solution::Unknown }
}

fn as_text<'a>(test: &Test<'a>) -> Option<&'a TextTest> {
    match test {
        Test::Text(_, test) | Test::Attachment(_, test) | Test::Certificate(_, test) => Some(test),
        _ => None,
    }
}

fn divided<'a>(tests: &[(Test<'a>, bool)]) -> (Vec<Wanted<'a>>, Vec<Wanted<'a>>) {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for (test, holds) in tests {
        if let Test::Text(part, test) = test {
            if *holds { wanted.push((*part, *test)) } else { unwanted.push((*part, *test)) }
        }
    }
    (wanted, unwanted)
}

/// One text that fits all that is wanted and nothing that is not.
pub(super) fn text(wanted: &[Wanted<'_>], unwanted: &[Wanted<'_>], shape: Shape) -> Solution<String> {
    if unwanted.iter().any(|(part, test)| wanted.iter().any(|(other, wanted)| part == other && includes(test, wanted))) {
        return Solution::Never;
    }
    let is_good = |value: &str| {
        wanted.iter().all(|(part, test)| fits(*part, test, value)) && !unwanted.iter().any(|(part, test)| fits(*part, test, value))
    };
    // What hangs on the content of lists is no proof: they change without the rules.
    let hangs_on_lists = |value: &str| {
        let is_list = |test: &TextTest| matches!(test, TextTest::InList(_));
        wanted.iter().all(|(part, test)| is_list(test) || fits(*part, test, value))
            && !unwanted.iter().any(|(part, test)| !is_list(test) && fits(*part, test, value))
    };
    let whole = wanted.iter().find_map(|(part, test)| match test {
        TextTest::Equals(values) | TextTest::NotEquals(values) if *part == Part::Whole => Some(values),
        _ => None,
    });
    if let Some(values) = whole {
        let size = |test: &TextTest| pieces(test).map_or(1, |(_, texts)| texts.len());
        let others = wanted.iter().chain(unwanted).map(|(_, test)| size(test)).fold(1, usize::saturating_add);
        let most = ANALYSIS_VALUES_MAX.min(ANALYSIS_COMPARISONS_MAX.checked_div(others).unwrap_or_default());
        let mut is_known = values.len() <= most;
        for value in values.iter().take(most).map(Folded::as_str) {
            if is_good(value) {
                return Solution::Fits(value.to_owned());
            }
            is_known &= !hangs_on_lists(value);
        }
        return if is_known { Solution::Never } else { Solution::Unknown };
    }
    let mut is_known = true;
    for (_, test) in wanted {
        if let TextTest::InList(lists) = test {
            is_known = false;
            if let Some(found) = lists.iter().flat_map(|list| list.samples()).find(|sample| is_good(sample)) {
                return Solution::Fits(found);
            }
        }
    }
    let choices: Vec<(Part, Kind, &[Folded])> =
        wanted.iter().filter_map(|(part, test)| pieces(test).map(|(kind, texts)| (*part, kind, texts))).collect();
    let mut odometer = vec![0_usize; choices.len()];
    for _ in 0..ANALYSIS_CHOICES_MAX {
        let chosen: Vec<Piece<'_>> = choices
            .iter()
            .zip(&odometer)
            .filter_map(|((part, kind, texts), place)| Some(Piece { part: *part, kind: *kind, text: texts.get(*place)?.as_str() }))
            .collect();
        if chosen.len() == choices.len() {
            let known = Known::of(&chosen, wanted);
            if !known.contradicts(&chosen, unwanted) {
                match known.values(&chosen, shape).into_iter().find(|value| is_good(value)) {
                    Some(value) => return Solution::Fits(value),
                    None => is_known = false,
                }
            }
        }
        if !turn(&mut odometer, &choices) {
            return if is_known { Solution::Never } else { Solution::Unknown };
        }
    }
    Solution::Unknown
}

/// The next choice; `false` when all were made.
fn turn(odometer: &mut [usize], choices: &[(Part, Kind, &[Folded])]) -> bool {
    for (place, (_, _, texts)) in odometer.iter_mut().zip(choices) {
        *place = place.saturating_add(1);
        if *place < texts.len() {
            return true;
        }
        *place = 0;
    }
    false
}

/// Whether all that fits `test` surely fits `wider`.
fn includes(wider: &TextTest, test: &TextTest) -> bool {
    match (wider, test) {
        (TextTest::Exists(_), _) => true,
        (TextTest::InList(wider), TextTest::InList(lists)) => {
            lists.iter().all(|list| wider.iter().any(|other| std::sync::Arc::ptr_eq(list, other)))
        }
        (TextTest::Matches(wider), TextTest::Matches(patterns)) => {
            patterns.iter().all(|pattern| wider.iter().any(|other| other.as_str() == pattern.as_str()))
        }
        _ => false,
    }
}

/// How a text stands in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Equal,
    Begin,
    End,
    Inside,
}

fn pieces(test: &TextTest) -> Option<(Kind, &[Folded])> {
    match test {
        TextTest::Equals(texts) | TextTest::NotEquals(texts) => Some((Kind::Equal, texts)),
        TextTest::StartsWith(texts) => Some((Kind::Begin, texts)),
        TextTest::EndsWith(texts) => Some((Kind::End, texts)),
        TextTest::Contains(texts) => Some((Kind::Inside, texts)),
        TextTest::Matches(_) | TextTest::Exists(_) | TextTest::InList(_) => None,
    }
}

#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    part: Part,
    kind: Kind,
    text: &'a str,
}

/// What follows from the pieces for each part.
#[derive(Debug, Default)]
struct Known<'a> {
    begins: Vec<(Part, &'a str)>,
    ends: Vec<(Part, String)>,
    inside: Vec<(Part, &'a str)>,
    domain: Option<&'a str>,
    /// Two pieces fix different domains.
    is_torn: bool,
    has_domain: bool,
}

impl<'a> Known<'a> {
    fn of(chosen: &[Piece<'a>], wanted: &[Wanted<'_>]) -> Self {
        let mut known = Self { has_domain: wanted.iter().any(|(part, _)| *part == Part::Domain), ..Self::default() };
        for Piece { part, kind, text } in chosen {
            let has_at = text.contains('@');
            match (part, kind) {
                (Part::Domain, Kind::Equal) => {
                    known.fix(text);
                    known.ends.push((Part::Whole, format!("@{text}")));
                }
                (Part::Base, Kind::Equal) => {
                    if let Some((local, domain)) = text.rsplit_once('@') {
                        known.fix(domain);
                        known.ends.push((Part::Whole, format!("@{domain}")));
                        known.begins.push((Part::Whole, local));
                    }
                    known.begins.push((Part::Base, text));
                    known.ends.push((Part::Base, (*text).to_owned()));
                }
                (Part::Whole, Kind::Equal) => {}
                (part, Kind::Begin) => {
                    known.begins.push((*part, text));
                    if *part != Part::Domain && !text.contains(['@', '+', '"']) {
                        known.begins.push((if *part == Part::Base { Part::Whole } else { Part::Base }, text));
                    }
                }
                (part, Kind::End) => {
                    known.ends.push((*part, (*text).to_owned()));
                    match (part, text.rsplit_once('@')) {
                        (Part::Whole | Part::Base, Some((_, domain))) if !domain.is_empty() => {
                            known.fix(domain);
                            known.ends.extend([(Part::Whole, format!("@{domain}")), (Part::Base, format!("@{domain}"))]);
                        }
                        (Part::Domain, _) => known.ends.extend([(Part::Whole, (*text).to_owned()), (Part::Base, (*text).to_owned())]),
                        _ => {}
                    }
                }
                (part, Kind::Inside) => {
                    known.inside.push((*part, text));
                    if *part == Part::Domain || (*part == Part::Base && !has_at) {
                        known.inside.push((Part::Whole, text));
                    }
                }
            }
        }
        known
    }

    fn fix(&mut self, domain: &'a str) {
        self.is_torn |= self.domain.is_some_and(|known| known != domain);
        self.domain = Some(domain);
    }

    /// Whether no value can have all pieces and none of what is unwanted.
    fn contradicts(&self, chosen: &[Piece<'_>], unwanted: &[Wanted<'_>]) -> bool {
        let begins = |part: Part| self.begins.iter().filter(move |(of, _)| *of == part).map(|(_, text)| *text);
        let ends = |part: Part| self.ends.iter().filter(move |(of, _)| *of == part).map(|(_, text)| text.as_str());
        let inside = |part: Part| self.inside.iter().filter(move |(of, _)| *of == part).map(|(_, text)| *text);
        let torn = |part: Part| {
            begins(part).any(|one| begins(part).any(|other| !one.starts_with(other) && !other.starts_with(one)))
                || ends(part).any(|one| ends(part).any(|other| !one.ends_with(other) && !other.ends_with(one)))
        };
        if self.is_torn || [Part::Whole, Part::Base, Part::Domain].into_iter().any(torn) {
            return true;
        }
        // Equal bases, and what is asked of the domain that is known.
        let mut bases = chosen.iter().filter(|piece| piece.part == Part::Base && piece.kind == Kind::Equal).map(|piece| piece.text);
        if let Some(base) = bases.next() {
            let of_base = chosen.iter().filter(|piece| piece.part == Part::Base);
            if of_base.clone().any(|piece| !piece.stands_in(base)) {
                return true;
            }
            if unwanted.iter().any(|(part, test)| *part == Part::Base && is_plain(test) && test.fits(Value::Folded(base))) {
                return true;
            }
        }
        if let Some(domain) = self.domain {
            if chosen.iter().any(|piece| piece.part == Part::Domain && !piece.stands_in(domain)) {
                return true;
            }
            if unwanted.iter().any(|(part, test)| *part == Part::Domain && is_plain(test) && test.fits(Value::Folded(domain))) {
                return true;
            }
        }
        unwanted.iter().any(|(part, test)| {
            if matches!(test, TextTest::Exists(_)) {
                return *part != Part::Domain || self.has_domain || self.domain.is_some();
            }
            let Some((kind, texts)) = pieces(test) else { return false };
            texts.iter().map(Folded::as_str).any(|text| match kind {
                Kind::Equal => false,
                Kind::Begin => begins(*part).any(|known| known.starts_with(text)),
                Kind::End => ends(*part).any(|known| known.ends_with(text)),
                Kind::Inside => {
                    begins(*part).any(|known| known.contains(text))
                        || ends(*part).any(|known| known.contains(text))
                        || inside(*part).any(|known| known.contains(text))
                }
            })
        })
    }

    /// Values to try, the most natural first.
    fn values(&self, chosen: &[Piece<'_>], shape: Shape) -> Vec<String> {
        if shape.is_address() { self.addresses(chosen, shape) } else { self.lines(chosen, shape) }
    }

    fn lines(&self, chosen: &[Piece<'_>], shape: Shape) -> Vec<String> {
        let (begin, end) = (self.begin(Part::Whole), self.end(Part::Whole));
        let inside: Vec<&str> =
            self.inside.iter().map(|(_, text)| *text).filter(|text| !begin.contains(text) && !end.contains(text)).collect();
        let overlap = overlapped(begin, end);
        let (space, fillers) = match shape {
            Shape::Name => (".", ["mail", "x", "host7", "zq"]),
            _ => (" ", ["text", "x", "sample 7", "zq"]),
        };
        let plain = format!("{begin}{}{end}", inside.concat());
        let mut values = Vec::new();
        if chosen.is_empty() {
            values.extend(fillers.map(str::to_owned));
            if shape == Shape::Name {
                values.insert(0, "mail.example.net".to_owned());
            }
        }
        if !plain.is_empty() {
            values.push(plain);
        }
        if inside.iter().all(|text| overlap.contains(text)) && !overlap.is_empty() {
            values.push(overlap);
        }
        for filler in fillers {
            values.push(format!("{begin}{filler}{}{filler}{end}", inside.join(filler)));
            values.push(format!("{begin}{space}{filler}{space}{}{space}{filler}{space}{end}", inside.join(space)));
        }
        values
    }

    fn addresses(&self, chosen: &[Piece<'_>], shape: Shape) -> Vec<String> {
        let (begin, end) = (self.begin(Part::Whole), self.end(Part::Whole));
        let (mut local_begin, mut domain_begin) = match begin.rsplit_once('@') {
            Some((local, domain)) => (local, domain),
            None => (begin, ""),
        };
        let (local_end, mut domain_end) = match end.rsplit_once('@') {
            Some((local, domain)) => (local, domain),
            None => ("", end),
        };
        if domain_begin.is_empty() {
            domain_begin = self.begin(Part::Domain);
        }
        let (mut in_local, mut in_domain, mut in_end): (Vec<&str>, Vec<&str>, &str) = (Vec::new(), Vec::new(), local_end);
        for piece in chosen.iter().filter(|piece| piece.kind == Kind::Inside) {
            match (piece.part, piece.text.rsplit_once('@')) {
                (Part::Domain, _) => in_domain.push(piece.text),
                (_, Some((local, domain))) => {
                    if local.len() > in_end.len() {
                        in_end = local;
                    }
                    if domain.len() > domain_begin.len() {
                        domain_begin = domain;
                    }
                }
                (_, None) => in_local.push(piece.text),
            }
        }
        for base in chosen.iter().filter(|piece| piece.part == Part::Base && piece.kind == Kind::Equal) {
            if let Some((local, domain)) = base.text.rsplit_once('@') {
                local_begin = if local.len() > local_begin.len() { local } else { local_begin };
                domain_end = domain;
            }
        }
        let domains: Vec<String> = match self.domain {
            Some(domain) => vec![domain.to_owned()],
            None => domains(domain_begin, &in_domain, domain_end),
        };
        let mut values = Vec::new();
        for domain in &domains {
            let in_local: Vec<&str> = in_local
                .iter()
                .copied()
                .filter(|text| !local_begin.contains(text) && !in_end.contains(text) && !domain.contains(text))
                .collect();
            let joined = in_local.concat();
            let bare = format!("{local_begin}{joined}{in_end}");
            if !bare.is_empty() {
                values.push(format!("{bare}@{domain}"));
                values.push(format!("{}@{domain}", overlapped(local_begin, in_end)));
            }
            for filler in ["someone", "x", "bob7", "zq"] {
                values.push(format!("{local_begin}{filler}{joined}{in_end}@{domain}"));
                values.push(format!("{local_begin}+{filler}{joined}{in_end}@{domain}"));
            }
        }
        // What is contained may as well stand in the domain.
        for text in in_local.iter().filter(|_| self.domain.is_none()) {
            values.extend([format!("someone@{text}.example.net"), format!("someone@{text}")]);
        }
        if shape == Shape::Sender && chosen.is_empty() {
            values.push(String::new());
        }
        values
    }

    fn begin(&self, part: Part) -> &str {
        self.begins.iter().filter(|(of, _)| *of == part).map(|(_, text)| *text).max_by_key(|text| text.len()).unwrap_or_default()
    }

    fn end(&self, part: Part) -> &str {
        self.ends.iter().filter(|(of, _)| *of == part).map(|(_, text)| text.as_str()).max_by_key(|text| text.len()).unwrap_or_default()
    }
}

impl Piece<'_> {
    fn stands_in(&self, value: &str) -> bool {
        match self.kind {
            Kind::Equal => value == self.text,
            Kind::Begin => value.starts_with(self.text),
            Kind::End => value.ends_with(self.text),
            Kind::Inside => value.contains(self.text),
        }
    }
}

/// Domains to try.
fn domains(begin: &str, inside: &[&str], end: &str) -> Vec<String> {
    if begin.is_empty() && inside.is_empty() && end.is_empty() {
        return ["example.net", "elsewhere.example", "other.example.org"].map(str::to_owned).to_vec();
    }
    let inside: Vec<&str> = inside.iter().copied().filter(|text| !begin.contains(text) && !end.contains(text)).collect();
    let joined = inside.concat();
    let bare = format!("{begin}{joined}{end}");
    let mut domains = vec![bare.trim_start_matches('.').to_owned(), overlapped(begin, end)];
    for filler in ["mail", "x", "zq7"] {
        domains.push(format!("{begin}{filler}{joined}{end}"));
        domains.push(format!("{begin}{filler}.{joined}{end}"));
        if end.is_empty() {
            domains.push(format!("{begin}{joined}.{filler}.example"));
            domains.push(format!("{begin}{joined}{filler}.example"));
        }
    }
    if end.is_empty() {
        domains.rotate_left(2);
    }
    domains.retain(|domain| !domain.is_empty() && !domain.starts_with('.') && !domain.ends_with('.'));
    domains
}

/// Both in one, sharing what they can.
fn overlapped(begin: &str, end: &str) -> String {
    let starts = begin.char_indices().map(|(place, _)| place).chain([begin.len()]);
    let shared = starts.filter_map(|place| begin.get(place..)).find(|tail| end.starts_with(tail)).unwrap_or_default();
    format!("{begin}{}", end.get(shared.len()..).unwrap_or_default())
}

/// Whether the result for a value does not hang on the content of a list.
fn is_plain(test: &TextTest) -> bool {
    !matches!(test, TextTest::InList(_))
}

fn domain(address: &str) -> Option<&str> {
    let (_, domain) = address.rsplit_once('@')?;
    (!domain.is_empty()).then_some(domain)
}

fn base(address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else { return address.to_owned() };
    match local.split_once('+') {
        Some((base, _)) if !base.is_empty() && !base.starts_with('"') => format!("{base}@{domain}"),
        _ => address.to_owned(),
    }
}

/// What follows the last dot of a file name; dots and spaces at its end do not count.
fn extension(name: &str) -> Option<&str> {
    let (_, extension) = name.trim_end_matches(['.', ' ']).rsplit_once('.')?;
    (!extension.is_empty()).then_some(extension)
}
