//! Recipients on their way through a rule set, in groups that see the same message.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::answer::Answer;
use super::{MapFrom, MapTo, Replacement};
use crate::message::{Text, View};
use crate::smtp::Address;

/// Recipients for whom the message is the same.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) view: View<'a>,
    pub(super) members: Vec<Member>,
}

/// An address that is still being judged.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) address: Address,
    /// Positions of the envelope recipients that it stands for, ascending; never empty.
    pub(super) originals: Vec<usize>,
    text: OnceCell<Text>,
    base: OnceCell<Text>,
}

impl<'a> Group<'a> {
    /// Divides the group into those for whom the answer holds and the others. The two share what was read of the message.
    pub(super) fn split(self, answer: Answer) -> (Option<Self>, Option<Self>) {
        let flags = match answer {
            Answer::None => return (None, Some(self)),
            Answer::All => return (Some(self), None),
            Answer::Some(flags) => flags,
        };
        let (mut matched, mut others) = (Vec::new(), Vec::new());
        for (member, flag) in self.members.into_iter().zip(flags) {
            if flag { matched.push(member) } else { others.push(member) }
        }
        let rest = Self { view: self.view.clone(), members: others };
        (Some(Self { view: self.view, members: matched }), Some(rest))
    }

    /// A group for each member.
    pub(super) fn into_singles(self) -> impl Iterator<Item = Self> {
        let view = self.view;
        self.members.into_iter().map(move |member| Self { view: view.clone(), members: vec![member] })
    }

    /// Where the group stands among others.
    pub(super) fn first_original(&self) -> usize {
        self.members.iter().filter_map(|member| member.originals.first()).min().copied().unwrap_or(usize::MAX)
    }

    /// Gives the members other addresses. Members with the same address become one.
    pub(super) fn replace(&mut self, replacement: &Replacement) {
        match replacement {
            // Replaced by nobody, a message would be lost.
            Replacement::With(addresses) if addresses.is_empty() => {}
            Replacement::With(addresses) => {
                let originals = originals(self.members.iter());
                let members = addresses.iter().map(|address| Member::new(address.clone(), originals.clone()));
                self.members = united(members);
            }
            Replacement::Map(entries) => {
                let members = std::mem::take(&mut self.members).into_iter().map(|member| match mapped(entries, &member.address) {
                    Some(address) => Member::new(address, member.originals),
                    None => member,
                });
                self.members = united(members);
            }
        }
    }
}

impl Member {
    pub(super) fn new(address: Address, originals: Vec<usize>) -> Self {
        Self { address, originals, text: OnceCell::new(), base: OnceCell::new() }
    }

    /// The address, without needless quoting: `"bob"@x` must not evade a condition on `bob@x`.
    pub(super) fn text(&self) -> &Text {
        self.text.get_or_init(|| Text::new(&*self.address.canonical()))
    }

    /// The address without `+tag`; a quoted local part has none.
    pub(super) fn base(&self) -> &Text {
        self.base.get_or_init(|| {
            let address = self.address.canonical();
            let local_part = address.rsplit_once('@').map_or("", |(local_part, _)| local_part);
            match local_part.split_once('+') {
                Some((base, _)) if !base.is_empty() && !base.starts_with('"') => Text::new(format!("{base}@{}", self.address.domain())),
                _ => Text::new(&*address),
            }
        })
    }
}

/// The envelope recipients that the members stand for, ascending.
pub(super) fn originals<'m>(members: impl Iterator<Item = &'m Member>) -> Vec<usize> {
    let mut originals: Vec<usize> = members.flat_map(|member| member.originals.iter().copied()).collect();
    originals.sort_unstable();
    originals.dedup();
    originals
}

/// Members in the order of their first appearance, one for each address.
pub(super) fn united(members: impl Iterator<Item = Member>) -> Vec<Member> {
    let mut united: Vec<Member> = Vec::with_capacity(members.size_hint().0);
    let mut places: HashMap<Address, usize> = HashMap::new();
    for member in members {
        let known = places.get(&member.address).and_then(|place| united.get_mut(*place));
        if let Some(known) = known {
            known.originals = originals([&*known, &member].into_iter());
        } else {
            places.insert(member.address.clone(), united.len());
            united.push(member);
        }
    }
    united
}

/// The new address by the first entry that fits.
fn mapped(entries: &[(MapFrom, MapTo)], address: &Address) -> Option<Address> {
    let fits = |from: &MapFrom| match from {
        MapFrom::Address(from) => from.canonical().eq_ignore_ascii_case(&address.canonical()),
        MapFrom::Domain(domain) => !domain.is_empty() && address.domain().eq_ignore_ascii_case(domain),
    };
    let (_, to) = entries.iter().find(|(from, _)| fits(from))?;
    match to {
        MapTo::Address(to) => Some(to.clone()),
        // Too long for an address: it stays, as one that no entry fits.
        MapTo::Domain(domain) => Address::parse(&format!("{}@{domain}", address.local_part()), true).ok(),
    }
}
