//! Search by meaning in this process: the model of the settings, the vectors beside the database, and what is asked of both.
//!
//! Nothing is opened before the first search or the first event that needs it. Where something is missing, text search
//! answers, and the reason with the command that mends it goes along.

mod house;
mod maker;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use oneiric::clock::Clock;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric_server::health::Part;
use semantic::searcher::none_yet;
use semantic::{Progress, Searcher};
use session_store::search::meaning::{Meaning, Near, Seen};
use session_store::sqlite::SqliteVectors;
use session_store::{SearchRequest, Store, Vectors};

use super::archive::Archive;
use super::model::{self, Choice, NAME as MODEL};
use house::House;
pub(crate) use maker::start;

/// Search by meaning.
pub struct Semantics {
    choice: Choice,
    /// The file of vectors; in memory when `None`.
    file: Option<PathBuf>,
    house: House,
    opened: Mutex<Option<Opened>>,
    /// Texts that the model saw, and the time it took, since the start.
    embedded: AtomicU64,
    embedding_micros: AtomicU64,
    /// Whether this process makes vectors now.
    making: AtomicBool,
    /// What kept vectors from being made at last.
    trouble: Mutex<Option<String>>,
    /// Why the file of vectors had to be made again.
    replaced: Mutex<Option<String>>,
}

#[derive(Clone)]
struct Opened {
    vectors: Arc<SqliteVectors>,
    searcher: Arc<Searcher>,
}

impl std::fmt::Debug for Semantics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Semantics").field("choice", &self.choice).field("file", &self.file).finish_non_exhaustive()
    }
}

/// What metrics tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) embedded: u64,
    pub(crate) seconds: f64,
    pub(crate) vectors: u64,
    pub(crate) waiting: u64,
    pub(crate) bytes: u64,
}

impl Semantics {
    /// By the settings' choice; vectors stand beside the database of `archive`.
    #[must_use]
    pub fn new(choice: Choice, archive: &Archive, clock: Arc<dyn Clock>) -> Self {
        let file = match archive {
            Archive::Memory => None,
            Archive::File { path, .. } => Some(path.with_file_name("vectors.db")),
        };
        Self {
            house: House::new(choice.clone(), clock),
            choice,
            file,
            opened: Mutex::new(None),
            embedded: AtomicU64::new(0),
            embedding_micros: AtomicU64::new(0),
            making: AtomicBool::new(false),
            trouble: Mutex::new(None),
            replaced: Mutex::new(None),
        }
    }

    /// None: text search answers.
    #[must_use]
    pub fn off(clock: Arc<dyn Clock>) -> Self {
        Self::new(Choice { folder: PathBuf::new(), model: None, least: None }, &Archive::Memory, clock)
    }

    /// Whether the settings want it.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.choice.model.is_some()
    }

    /// Least cosine of what is found by meaning alone, when the settings say one.
    pub(crate) fn least(&self) -> Option<f32> {
        self.choice.least
    }

    /// The meaning of what `request` looks for. What cannot be had says why, when it is asked.
    pub(crate) fn meaning(&self, store: &Arc<dyn Store>, request: &SearchRequest) -> Box<dyn Meaning> {
        let made = self.found().and_then(|opened| opened.searcher.meaning(Arc::clone(store), request));
        made.unwrap_or_else(|fault| Box::new(Missing(self.explained(fault))))
    }

    /// With what keeps this process from making the vectors that are missed.
    fn explained(&self, fault: Fault) -> Fault {
        match self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            Some(trouble) if fault == none_yet() => Fault::unavailable(format!("no vectors can be made: {trouble}")),
            _ => fault,
        }
    }

    /// What is there, for a look at it: a search or a report makes no file.
    fn found(&self) -> Result<Opened> {
        self.house.look()?;
        if self.is_gone() {
            return Err(none_yet());
        }
        self.opened()
    }

    /// Whether there is no file of vectors: none was made yet, or somebody removed it.
    fn is_gone(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.exists())
    }

    fn opened(&self) -> Result<Opened> {
        self.house.look()?;
        let mut slot = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = slot.as_ref() {
            return Ok(opened.clone());
        }
        let vectors = match &self.file {
            Some(path) => SqliteVectors::open(path)?,
            None => SqliteVectors::in_memory()?,
        };
        Ok(slot.insert(self.over(vectors)).clone())
    }

    /// What is open, after a look at the whole file; a damaged one is replaced. For the one process that makes vectors.
    fn opened_sound(&self) -> Result<Opened> {
        let opened = self.opened()?;
        let Some(file) = &self.file else { return Ok(opened) };
        let Some(wrong) = opened.vectors.damage()? else { return Ok(opened) };
        let mut slot = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(slot.insert(self.over(SqliteVectors::replace(file, wrong)?)).clone())
    }

    fn over(&self, vectors: SqliteVectors) -> Opened {
        if let Some(why) = vectors.replaced() {
            *self.replaced.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        }
        let vectors = Arc::new(vectors);
        let searcher = Arc::new(Searcher::new(
            Arc::clone(&vectors) as Arc<dyn Vectors>,
            Arc::new(self.house.clone()) as Arc<dyn semantic::Models>,
        ));
        Opened { vectors, searcher }
    }

    /// Gives back the memory that reading vectors took.
    pub(crate) fn rest(&self) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(opened) = opened {
            opened.vectors.rest();
        }
    }

    /// Forgets what is open, after vectors could not be read: the next use opens, and replaces them when they are damaged.
    fn close(&self) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How far the vectors have come.
    ///
    /// # Errors
    /// Why there are none.
    pub fn progress(&self, store: &dyn Store) -> Result<Progress> {
        let opened = self.found()?;
        let identity = self.house.identity()?;
        semantic::indexer::progress(store, opened.vectors.as_ref(), Some(&identity))
    }

    /// For metrics; zeros where nothing is open.
    pub(crate) fn figures(&self, store: &dyn Store) -> Figures {
        let mut figures = Figures {
            embedded: self.embedded.load(Ordering::Relaxed),
            seconds: self.embedding_micros.load(Ordering::Relaxed) as f64 / 1e6,
            ..Figures::default()
        };
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(opened) = opened {
            if let Ok(progress) = self.progress(store) {
                figures.vectors = progress.vectors;
                figures.waiting = (progress.newest - progress.watermark).max(0).unsigned_abs();
            }
            figures.bytes = opened.vectors.bytes().unwrap_or(0);
        }
        figures
    }

    /// Looks whether there is a model. Waits for Ollama, when it is one of Ollama's.
    pub(crate) fn look(&self) {
        let _ = self.house.look_now();
    }

    /// The line of the health report about the model. Of Ollama it tells what was found last, and asks nothing.
    pub(crate) fn model_part(&self) -> Part {
        match (self.choice.ollama(), self.house.known()) {
            (None, _) => self.choice.part(),
            (Some(ollama), None) => {
                Part::ok(MODEL, "enabled", format!("{} by Ollama, which was not asked yet", ollama.model))
            }
            (Some(ollama), Some(found)) => model::by_ollama(ollama, found.map(|identity| identity.digest)),
        }
    }

    /// The line of the health report about vectors; `None` when search by meaning is off or has no model on this machine,
    /// which another line tells.
    pub(crate) fn part(&self, store: &dyn Store) -> Option<Part> {
        const NAME: &str = "Semantic index";
        if !self.wanted() {
            return None;
        }
        // Of Ollama, the other line tells what was found last; without a model here, it says so.
        match self.choice.ollama() {
            Some(_) if !matches!(self.house.known(), Some(Ok(_))) => return None,
            None if self.house.look().is_err() => return None,
            _ => {}
        }
        Some(match self.progress(store) {
            Ok(progress) => {
                let mut fact = format!(
                    "semantic_index: {} of {} {}, {} {} of {}",
                    thousands(progress.watermark.min(progress.newest)),
                    thousands(progress.newest),
                    if progress.newest == 1 { "event" } else { "events" },
                    thousands(progress.vectors.cast_signed()),
                    if progress.vectors == 1 { "vector" } else { "vectors" },
                    progress.model
                );
                if let Some(earlier) = &progress.earlier {
                    let there = self.house.of(&earlier.name, &earlier.digest).is_ok();
                    let who = if there { "the earlier model answers" } else { "words alone answer" };
                    fact.push_str(&format!("; {who} meanwhile"));
                }
                if progress.refused > 0 {
                    let refused = counted(progress.refused, "text", "texts");
                    let found = if progress.refused == 1 { "is found by its" } else { "are found by their" };
                    fact.push_str(&format!("; the model refused {refused}, which {found} words alone"));
                }
                if let Some(why) = self.replaced.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
                    fact.push_str(&format!("; made again, because the old file could not be used ({why})"));
                }
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
                match trouble {
                    Some(trouble) => Part::off(NAME, format!("{fact}; waiting: {trouble}")),
                    None if progress.watermark >= progress.newest => Part::ok(NAME, "complete", fact),
                    None if self.making.load(Ordering::Relaxed) => Part::ok(NAME, "in the making", fact),
                    None => Part::ok(NAME, "partial", format!("{fact}; a running server makes the rest")),
                }
            }
            Err(fault) => Part::off(NAME, format!("{fault}; text search answers meanwhile")),
        })
    }
}

/// Meaning that cannot be had.
struct Missing(Fault);

impl Meaning for Missing {
    fn nearest(&self, _: usize, _: i64) -> Result<Vec<Near>> {
        Err(self.0.clone())
    }

    fn of(&self, _: &[Seen<'_>]) -> Result<Vec<Near>> {
        Err(self.0.clone())
    }
}

/// `12345` as `12,345`.
fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_numbers_are_grouped() {
        let shown = [0, 999, 1_000, 12_345, 1_234_567].map(super::thousands);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
