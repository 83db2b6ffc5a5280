//! Two texts as a unified diff, as `diff -u` and `patch` know it.

use std::fmt::Write;

/// Lines shown before and behind a change.
const CONTEXT: usize = 3;
/// Texts that differ in more lines are shown as one that goes and one that comes: finding the shortest way takes long.
const DIFFERENCES_MAX: usize = 2000;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Gone,
    New,
}

/// The whole diff; empty when nothing differs.
pub(super) fn unified(path: &str, before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let lines = fates(&old, &new);
    let changed: Vec<usize> = lines.iter().enumerate().filter(|(_, (fate, _))| *fate != Fate::Kept).map(|(place, _)| place).collect();
    let mut out = String::new();
    let mut place = 0;
    while let Some(&first) = changed.iter().find(|at| **at >= place) {
        // A hunk goes on while the next change is near.
        let mut last = first;
        for &next in changed.iter().filter(|at| **at > first) {
            if next > last.saturating_add(CONTEXT.saturating_mul(2)).saturating_add(1) {
                break;
            }
            last = next;
        }
        let (from, to) = (first.saturating_sub(CONTEXT), last.saturating_add(CONTEXT).saturating_add(1).min(lines.len()));
        let count = |range: &[(Fate, &str)], without: Fate| range.iter().filter(|(fate, _)| *fate != without).count();
        let (ahead, hunk) = (lines.get(..from).unwrap_or_default(), lines.get(from..to).unwrap_or_default());
        if out.is_empty() {
            let _ = writeln!(out, "--- a/{path}\n+++ b/{path}");
        }
        let range = |ahead: usize, count: usize| format!("{},{count}", if count == 0 { ahead } else { ahead.saturating_add(1) });
        let _ = writeln!(
            out,
            "@@ -{} +{} @@",
            range(count(ahead, Fate::New), count(hunk, Fate::New)),
            range(count(ahead, Fate::Gone), count(hunk, Fate::Gone))
        );
        for (fate, line) in hunk {
            let mark = match fate {
                Fate::Kept => ' ',
                Fate::Gone => '-',
                Fate::New => '+',
            };
            let _ = write!(out, "{mark}{line}");
            if !line.ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
        place = to;
    }
    out
}

/// The fate of each line, by the shortest way from one text to the other (Myers 1986).
fn fates<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Fate, &'a str)> {
    let same_ahead = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()).saturating_sub(same_ahead);
    let same_behind = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let middle = |lines: &[&'a str]| lines.get(same_ahead..lines.len().saturating_sub(same_behind)).unwrap_or_default().to_vec();
    let kept = |lines: &[&'a str]| lines.iter().map(|line| (Fate::Kept, *line)).collect::<Vec<_>>();
    let mut out = kept(old.get(..same_ahead).unwrap_or_default());
    out.extend(shortest(&middle(old), &middle(new)));
    out.extend(kept(old.get(old.len().saturating_sub(same_behind)..).unwrap_or_default()));
    out
}

fn shortest<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Fate, &'a str)> {
    let all = || old.iter().map(|line| (Fate::Gone, *line)).chain(new.iter().map(|line| (Fate::New, *line))).collect();
    // How far into `old` each diagonal has come, for each number of differences; diagonal 0 is at `middle`.
    let most = old.len().saturating_add(new.len()).min(DIFFERENCES_MAX);
    let middle = most.saturating_add(1);
    let mut reached = vec![0_usize; middle.saturating_mul(2).saturating_add(1)];
    let mut history: Vec<Vec<usize>> = Vec::new();
    let at = |reached: &[usize], index: usize| reached.get(index).copied().unwrap_or(0);
    for differences in 0..=most {
        history.push(
            reached
                .get(middle.saturating_sub(differences).saturating_sub(1)..=middle.saturating_add(differences).saturating_add(1))
                .unwrap_or_default()
                .to_vec(),
        );
        for step in 0..=differences {
            let index = middle.saturating_sub(differences).saturating_add(step.saturating_mul(2));
            let (down, right) = (at(&reached, index.saturating_add(1)), at(&reached, index.saturating_sub(1)));
            let mut x = if step == 0 || step != differences && right < down { down } else { right.saturating_add(1) };
            let mut y = x.saturating_add(middle).saturating_sub(index);
            while old.get(x).is_some() && old.get(x) == new.get(y) {
                (x, y) = (x.saturating_add(1), y.saturating_add(1));
            }
            if let Some(place) = reached.get_mut(index) {
                *place = x;
            }
            if x >= old.len() && y >= new.len() {
                return way(old, new, &history, middle);
            }
        }
    }
    all()
}

/// Walks the history back from the end.
fn way<'a>(old: &[&'a str], new: &[&'a str], history: &[Vec<usize>], middle: usize) -> Vec<(Fate, &'a str)> {
    let (mut x, mut y) = (old.len(), new.len());
    let mut out: Vec<(Fate, &'a str)> = Vec::new();
    for (differences, reached) in history.iter().enumerate().rev() {
        let first = middle.saturating_sub(differences).saturating_sub(1);
        let at = |index: usize| reached.get(index.saturating_sub(first)).copied().unwrap_or(0);
        let index = middle.saturating_add(x).saturating_sub(y);
        let low = middle.saturating_sub(differences);
        let is_down =
            index == low || index != middle.saturating_add(differences) && at(index.saturating_sub(1)) < at(index.saturating_add(1));
        let before = if is_down { index.saturating_add(1) } else { index.saturating_sub(1) };
        let (from_x, from_y) =
            if differences == 0 { (0, 0) } else { (at(before), at(before).saturating_add(middle).saturating_sub(before)) };
        while x > from_x && y > from_y {
            (x, y) = (x.saturating_sub(1), y.saturating_sub(1));
            out.extend(old.get(x).map(|line| (Fate::Kept, *line)));
        }
        if differences > 0 {
            if is_down {
                out.extend(new.get(from_y).map(|line| (Fate::New, *line)));
            } else {
                out.extend(old.get(from_x).map(|line| (Fate::Gone, *line)));
            }
            (x, y) = (from_x, from_y);
        }
    }
    out.reverse();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_diff_reads_as_diff_writes_it() {
        let before = (1..=20).map(|n| format!("line {n}\n")).collect::<String>();
        let after = before.replace("line 3\n", "line three\n").replace("line 18\n", "");
        assert_eq!(
            unified("x.yaml", &before, &after),
            "--- a/x.yaml\n+++ b/x.yaml\n@@ -1,6 +1,6 @@\n line 1\n line 2\n-line 3\n+line three\n line 4\n line 5\n line 6\n@@ -15,6 +15,5 @@\n line 15\n line 16\n line 17\n-line 18\n line 19\n line 20\n"
        );
        assert_eq!(unified("x", "a\n", "a\n"), "");
        assert_eq!(unified("x", "a", "b\n"), "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+b\n");
    }

    proptest! {
        #[test]
        fn both_texts_are_in_it(old in proptest::collection::vec("[abc]", 0..12), new in proptest::collection::vec("[abc]", 0..12)) {
            let (old, new): (Vec<&str>, Vec<&str>) = (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
            let fates = fates(&old, &new);
            let side = |without: Fate| fates.iter().filter(|(fate, _)| *fate != without).map(|(_, line)| *line).collect::<Vec<_>>();
            prop_assert_eq!(side(Fate::New), old);
            prop_assert_eq!(side(Fate::Gone), new);
        }
    }
}
