//! `gateway test`: messages that stand in files are judged, and what becomes of them is compared with what the files say.

mod actual;
mod because;
mod compare;
mod coverage;
mod json;
mod judge;
mod junit;
mod text;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{COULD_NOT_RUN, color, could_not_run};
use crate::config::{self, Report, RuleTest, TestFile, TestSuite};
use crate::limits::TESTS_AT_A_TIME_MAX;
use crate::telemetry::{self, Log};
use coverage::{Coverage, Covered};
use judge::{Bench, Mismatch};

/// Test rule sets and policies: messages that stand in files are judged, and what becomes of them is compared.
///
/// Tests are the YAML files below rules/tests; nothing is sent and nobody is asked. Exits with 0 when all is as expected, 1 when a test
/// fails or less is covered than --coverage-min asks for, 2 when a file has mistakes or nothing could be tested.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gateway test\n  gateway test rules/tests/inbound.yaml --filter gmail\n  gateway test --coverage --coverage-min 90\n  gateway test --format junit --output report.xml"
)]
pub(super) struct Args {
    /// Files of tests, and folders; the working directory when there is none.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Only the tests whose name, behind that of their file, holds this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How the results are written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the results to this file; to standard output unless said.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show which rules, statements and conditions no test has reached.
    #[arg(long)]
    coverage: bool,
    /// Fail when less than this percentage is covered.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    coverage_min: Option<u8>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// JUnit's XML, for CI systems.
    Junit,
}

/// What came of all of them.
#[derive(Debug)]
struct Results<'s> {
    files: Vec<FileResult<'s>>,
    /// Mistakes that kept tests from running, by deployment.
    mistakes: Vec<&'s Report>,
    coverage: Option<Vec<Covered>>,
    took: Duration,
}

#[derive(Debug)]
struct FileResult<'s> {
    file: &'s TestFile,
    tests: Vec<TestResult<'s>>,
}

#[derive(Debug)]
struct TestResult<'s> {
    test: &'s RuleTest,
    mismatches: Vec<Mismatch>,
    took: Duration,
}

impl Results<'_> {
    fn tests(&self) -> impl Iterator<Item = &TestResult<'_>> {
        self.files.iter().flat_map(|file| &file.tests)
    }

    fn failed(&self) -> usize {
        self.tests().filter(|test| !test.mismatches.is_empty()).count()
    }

    fn errors(&self) -> usize {
        self.mistakes.iter().map(|report| report.errors()).fold(0, usize::saturating_add)
    }
}

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    let suites = match config::tests_below(&args.paths) {
        Ok(suites) => suites,
        Err(error) => return could_not_run(error),
    };
    let results = match results(&suites, &args) {
        Ok(results) => results,
        Err(error) => return could_not_run(error),
    };
    let is_colored = args.output.is_none() && color(&std::io::stdout());
    let rendered = match args.format {
        Format::Text => text::render(&results, is_colored),
        Format::Json => json::render(&results),
        Format::Junit => junit::render(&results),
    };
    if let Err(why) = written(&args, &rendered) {
        return could_not_run(why);
    }
    if args.format != Format::Text || args.output.is_some() {
        for report in &results.mistakes {
            eprint!("{}", report.render(config::Format::Text, std::io::stderr().is_terminal() && color(&std::io::stderr())));
        }
    }
    eprintln!("{}", text::summary(&results));
    if results.errors() > 0 {
        return ExitCode::from(COULD_NOT_RUN);
    }
    if results.tests().next().is_none() {
        return could_not_run("no test has such a name");
    }
    let is_uncovered = args
        .coverage_min
        .is_some_and(|least| results.coverage.as_ref().is_some_and(|files| coverage::percent_of(files) < usize::from(least)));
    if is_uncovered {
        eprintln!("gateway: less is covered than {} percent", args.coverage_min.unwrap_or_default());
    }
    ExitCode::from(u8::from(results.failed() > 0 || is_uncovered))
}

/// A reader of standard output that has seen enough is no failure.
fn written(args: &Args, rendered: &str) -> Result<(), String> {
    let (result, what) = match &args.output {
        Some(path) => (std::fs::write(path, rendered), path.display().to_string()),
        None => {
            let mut stdout = std::io::stdout().lock();
            (stdout.write_all(rendered.as_bytes()).and_then(|()| stdout.flush()), "standard output".to_owned())
        }
    };
    match result {
        Err(error) if args.output.is_none() && error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| format!("{what}: {error}")),
    }
}

fn results<'s>(suites: &'s [TestSuite], args: &Args) -> Result<Results<'s>, String> {
    let began = Instant::now();
    // What is found out with answers of tests is nothing that happens.
    let log = Log::new(telemetry::Format::Json, std::io::sink());
    let mut results = Results { files: Vec::new(), mistakes: Vec::new(), coverage: None, took: Duration::ZERO };
    let mut covered = Vec::new();
    let is_whole = args.filter.is_none() && args.paths.iter().all(|path| path.is_dir());
    for suite in suites {
        results.mistakes.extend(Some(&suite.report).filter(|report| report.errors() > 0));
        let rulebook = match &suite.rulebook {
            Ok(rulebook) => rulebook,
            Err(report) => {
                results.mistakes.push(report);
                continue;
            }
        };
        let benches: Vec<Bench<'s>> = suite.files.iter().filter_map(|file| Bench::new(rulebook, file, &log)).collect();
        let (files, coverage) = judged(&benches, args.filter.as_deref())?;
        results.files.extend(files);
        covered.extend(coverage.files(rulebook, is_whole));
    }
    log.close();
    // Where nothing could be tested, nothing is covered, and no figure says it.
    if (args.coverage || args.coverage_min.is_some()) && !covered.is_empty() {
        results.coverage = Some(coverage::sorted(covered));
    }
    results.took = began.elapsed();
    Ok(results)
}

/// A test that is done.
struct Done<'s> {
    /// Its place among all of them.
    number: usize,
    /// The place of its file.
    place: usize,
    result: TestResult<'s>,
}

/// Judges all tests of a deployment, several at a time.
fn judged<'s>(benches: &[Bench<'s>], filter: Option<&str>) -> Result<(Vec<FileResult<'s>>, Coverage), String> {
    let is_wanted =
        |file: &TestFile, test: &RuleTest| filter.is_none_or(|filter| format!("{}: {}", file.path.display(), test.name).contains(filter));
    let jobs: Vec<(usize, &Bench<'s>, &'s RuleTest)> = benches
        .iter()
        .enumerate()
        .flat_map(|(place, bench)| bench.file.tests.iter().map(move |test| (place, bench, test)))
        .filter(|(_, bench, test)| is_wanted(bench.file, test))
        .collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<(Vec<Done<'s>>, Coverage)> = Mutex::default();
    let work = || -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
        let (mut results, mut coverage) = (Vec::new(), Coverage::default());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((place, bench, test)) = jobs.get(number) else { break };
            let began = Instant::now();
            let (mismatches, trial) = runtime.block_on(bench.run(test));
            if let Some(trial) = &trial {
                coverage.add(&bench.endpoint, trial);
            }
            results.push(Done { number, place: *place, result: TestResult { test, mismatches, took: began.elapsed() } });
        }
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        done.0.append(&mut results);
        done.1.merge(coverage);
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(TESTS_AT_A_TIME_MAX);
    let ended: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a test has ended the thread that judged it".to_owned())))
            .collect()
    });
    ended.into_iter().collect::<Result<(), String>>()?;
    let (mut results, coverage) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|done| done.number);
    let mut files: Vec<FileResult<'s>> = benches.iter().map(|bench| FileResult { file: bench.file, tests: Vec::new() }).collect();
    for Done { place, result, .. } in results {
        if let Some(file) = files.get_mut(place) {
            file.tests.push(result);
        }
    }
    files.retain(|file| !file.tests.is_empty());
    Ok((files, coverage))
}
