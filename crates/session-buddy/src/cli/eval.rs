//! `eval`: how well searches find what they should, on data with known answers.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use oneiric::clock::SystemClock;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::paths::plain;
use semantic::{Embedder, Indexer, Models, Searcher, Step};
use serde_json::json;
use session_store::evaluation::dataset::Dataset;
use session_store::evaluation::figures::{Figures, Row};
use session_store::evaluation::{self, DEPTH, MakeMeaning};
use session_store::search::meaning::Meaning;
use session_store::sqlite::{Options, SqliteStore, SqliteVectors};
use session_store::vectors::Vectors;
use session_store::{Granularity, SearchMode, SearchRequest, Store};

use super::ask::Context;
use super::output::{self, Format, cell, note};
use super::progress::Progress;
use crate::mcp::search::By;
use crate::server::model::Choice;

/// Which ways of searching are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Ways {
    /// Each of them
    #[default]
    All,
    /// By words and by meaning
    Hybrid,
    /// By meaning
    Semantic,
    /// By words
    Text,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// Files of sessions and questions as lines of JSON, or folders with such files (*.jsonl)
    #[arg(required = true, value_name = "DIR|FILE")]
    data: Vec<PathBuf>,
    /// What has to be found: the event, or its session
    #[arg(long, value_enum, default_value = "session")]
    by: By,
    /// How to search
    #[arg(long, value_enum, default_value_t)]
    search_type: Ways,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `eval`.
pub(super) fn run(args: &EvalArgs, context: &Context) -> Result<ExitCode> {
    let dataset = load(&args.data)?;
    let by = args.by.granularity();
    let (all, left_out) = (dataset.questions.len(), dataset.unanswered(by));
    if left_out == all {
        return Err(Fault::user("nothing that answers a question is in the data, so nothing can be measured")
            .hint("evidence_turns and evidence_sessions name turns and sessions of the question's conversation"));
    }
    if left_out > 0 {
        let questions = counted(left_out, "question is", "questions are");
        note(&format!("Note: {questions} left out: nothing that answers is in the data"));
    }
    let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory(Options::new(Arc::new(SystemClock)))?);
    let mut progress = Progress::new("Storing", "sessions");
    evaluation::store(&dataset, store.as_ref(), &mut |done| progress.tell(done as u64, dataset.sessions.len() as u64))?;
    drop(progress);
    while store.learn_words()? > 0 {}
    let modes: &[SearchMode] = match args.search_type {
        Ways::All => &[SearchMode::Text, SearchMode::Semantic, SearchMode::Hybrid],
        Ways::Hybrid => &[SearchMode::Hybrid],
        Ways::Semantic => &[SearchMode::Semantic],
        Ways::Text => &[SearchMode::Text],
    };
    let sense = if modes == [SearchMode::Text] { None } else { sense(context, &store)? };
    let mut measured = Vec::new();
    for &mode in modes {
        let make = sense.as_ref().map(|sense| sense.make.as_ref() as MakeMeaning<'_>);
        let mut progress = Progress::new("Asking", "questions");
        let all = dataset.questions.len() as u64;
        let figures = evaluation::ask(&dataset, store.as_ref(), (mode, by), make, &SystemClock, &mut |done| {
            progress.tell(done as u64, all);
        })?;
        drop(progress);
        if figures.mode != mode {
            let why = figures.note.as_deref().unwrap_or("text search answered");
            note(&format!("Note: not measured: {} search ({why})", name(mode)));
            continue;
        }
        measured.push(figures);
    }
    let model = sense.map(|sense| sense.model);
    show(args, context, &dataset, &measured, model.as_deref(), by)
}

/// The meaning of a request's query over the measured store.
type BoxedMake = Box<dyn Fn(&SearchRequest) -> Result<Box<dyn Meaning>>>;

/// What searches by meaning need.
struct Sense {
    /// Name, dimensions and digest.
    model: String,
    make: BoxedMake,
}

/// The one model of a measurement.
struct Only(Arc<dyn Embedder>);

impl Models for Only {
    fn chosen(&self) -> Result<Arc<dyn Embedder>> {
        Ok(Arc::clone(&self.0))
    }

    fn named(&self, _name: &str, _digest: &str) -> Result<Arc<dyn Embedder>> {
        Ok(Arc::clone(&self.0))
    }
}

/// Embeds all events of `store` with the model of the settings; `None` without one, which is said.
fn sense(context: &Context, store: &Arc<dyn Store>) -> Result<Option<Sense>> {
    let embedder = match Choice::new(&context.settings).open() {
        Ok(embedder) => embedder,
        Err(fault) => {
            note(&format!("Note: searches by meaning are not measured: {fault}"));
            return Ok(None);
        }
    };
    let identity = embedder.identity();
    let model = format!("{}, {} dimensions, digest {}", identity.name, identity.dimensions, identity.digest);
    let models: Arc<dyn Models> = Arc::new(Only(embedder));
    let vectors: Arc<dyn Vectors> = Arc::new(SqliteVectors::in_memory()?);
    let mut indexer = Indexer::new(Arc::clone(store), Arc::clone(&vectors), Arc::clone(&models));
    let newest = store.newest_seq()?;
    let mut progress = Progress::new("Embedding", "events");
    while let Step::Worked { .. } = indexer.step(&|| false)? {
        progress.tell(indexer.progress()?.watermark.max(0) as u64, newest.max(0) as u64);
    }
    drop(progress);
    let searcher = Arc::new(Searcher::new(vectors, models));
    let store = Arc::clone(store);
    let make = move |request: &SearchRequest| searcher.meaning(Arc::clone(&store), request);
    Ok(Some(Sense { model, make: Box::new(make) }))
}

fn load(paths: &[PathBuf]) -> Result<Dataset> {
    let mut dataset = Dataset::default();
    for path in paths {
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
            files = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|file| file.extension().is_some_and(|extension| extension == "jsonl"))
                .collect();
            files.sort();
        }
        for file in files {
            let opened = File::open(&file).map_err(|error| unreadable(&file, &error))?;
            dataset.read(BufReader::new(opened), &file.display().to_string())?;
        }
    }
    if dataset.sessions.is_empty() || dataset.questions.is_empty() {
        return Err(Fault::user(format!(
            "{} and {}: both are needed",
            counted(dataset.sessions.len(), "session", "sessions"),
            counted(dataset.questions.len(), "question", "questions")
        ))
        .hint("give the folder that holds both files, or each of them"));
    }
    Ok(dataset)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let what = format!("cannot read {}: {}", path.display(), plain(error));
    if error.kind() == std::io::ErrorKind::NotFound { Fault::not_found(what) } else { Fault::user(what) }
}

const fn name(mode: SearchMode) -> &'static str {
    match mode {
        SearchMode::Text => "text",
        SearchMode::Semantic => "semantic",
        SearchMode::Hybrid => "hybrid",
    }
}

/// A table a mode, so that it fits 80 columns.
const HEADERS: [&str; 9] = ["Category", "n", "hit@1", "hit@5", "R@10", "MRR", "nDCG@10", "p50 ms", "p95 ms"];

fn show(
    args: &EvalArgs,
    context: &Context,
    dataset: &Dataset,
    measured: &[Figures],
    model: Option<&str>,
    by: Granularity,
) -> Result<ExitCode> {
    let granularity = match by {
        Granularity::Event => "event",
        Granularity::Session => "session",
    };
    if args.format == Format::Json {
        return output::emit_json(&json!({
            "by": granularity, "pool": "conversation", "depth": DEPTH, "model": model,
            "sessions": dataset.sessions.len(), "events": dataset.turns(), "questions": dataset.questions.len(),
            "figures": measured,
        }));
    }
    if args.format == Format::Csv {
        let rows: Vec<Vec<String>> =
            measured.iter().flat_map(|figures| figures.rows.iter().map(|row| line(figures.mode, row))).collect();
        let headers =
            ["mode", "category", "questions", "hit_1", "hit_5", "recall_10", "mrr", "ndcg_10", "p50_ms", "p95_ms"];
        return output::emit(&output::csv(&headers, &rows));
    }
    let mut text = format!(
        "{} on {} with {}; found by {granularity},\neach conversation its own pool\n",
        counted(dataset.questions.len(), "question", "questions"),
        counted(dataset.sessions.len(), "session", "sessions"),
        counted(dataset.turns(), "event", "events"),
    );
    let (named, digest) =
        model.and_then(|model| model.split_once(", digest ")).unwrap_or((model.unwrap_or("none"), ""));
    text.push_str(&format!("model: {named}\n"));
    if !digest.is_empty() {
        text.push_str(&format!("digest: {digest}\n"));
    }
    for figures in measured {
        let rows = figures.rows.iter().map(|row| line(figures.mode, row)[1..].iter().map(|text| cell(text)).collect());
        text.push_str(&format!(
            "\n{} search\n{}",
            name(figures.mode),
            context.screen().table(&HEADERS, rows.collect())
        ));
    }
    output::emit(&text)
}

fn line(mode: SearchMode, row: &Row) -> Vec<String> {
    let mut texts = vec![name(mode).to_owned(), row.category.clone(), row.questions.to_string()];
    texts.extend([row.hit_1, row.hit_5, row.recall_10, row.mrr, row.ndcg_10].map(|share| format!("{share:.3}")));
    texts.extend([row.p50_ms, row.p95_ms].map(|time| format!("{time:.1}")));
    texts
}
