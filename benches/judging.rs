//! What judging a message costs: rules, lists, policies. `cargo bench --bench judging`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gateway::rules::AddressList;

fn lists(c: &mut Criterion) {
    let entries: Vec<String> = (0..100_000).map(|number| format!("user{number}@customer{}.example", number % 1_000)).collect();
    let (list, errors) = AddressList::build(entries.iter().map(String::as_str));
    assert!(errors.is_empty() && list.contains("user7@customer7.example") && !list.contains("user7@customer8.example"));
    c.bench_function("address list, 100,000 entries: in it", |b| b.iter(|| list.contains(black_box("user77777@customer777.example"))));
    c.bench_function("address list, 100,000 entries: not in it", |b| b.iter(|| list.contains(black_box("user77777@customer778.example"))));
}

criterion_group!(benches, lists);
criterion_main!(benches);
