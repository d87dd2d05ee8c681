//! A model that Ollama runs, over its HTTP interface. Ollama may be away, slow or wrong: everything it says is checked, and
//! questions leave it alone for a while after it was away some times. A single text that it refuses is passed over.

mod breaker;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::settings::without_password;
use serde::Deserialize;
use serde_json::json;

use crate::chunk;
use crate::embedder::{Embedder, ModelIdentity, to_unit_length};
use breaker::Breaker;

/// Time for the list of models, and for a question that somebody waits for: words alone answer after that.
const LOOK: Duration = Duration::from_secs(1);
const QUESTION: Duration = Duration::from_millis(1_500);
/// Time for texts, which nobody waits for; Ollama may have to load the model first.
const WORK: Duration = Duration::from_secs(60);
const TOO_LATE: &str = "it does not answer in time";
/// Before the one retry.
const BACKOFF: Duration = Duration::from_millis(200);
/// Texts of one request.
const BATCH: usize = 32;
/// A text that a model which works has a vector for.
const PROBE: &str = "a probe";
const MAX_ANSWER: u64 = 64 << 20;
const MAX_DIMENSIONS: usize = 16_384;
/// Ollama gives models 2,048 word pieces unless told otherwise; what [`ends`] counts is not quite a word piece.
const WINDOW: usize = 1_000;

/// Where Ollama is and which of its models is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OllamaSettings {
    /// Such as `http://localhost:11434`.
    pub base_url: String,
    /// Such as `nomic-embed-text`.
    pub model: String,
}

impl OllamaSettings {
    /// Where Ollama is, without a password.
    #[must_use]
    pub fn shown_url(&self) -> String {
        without_password(&self.base_url)
    }
}

/// A model of Ollama.
pub struct Ollama {
    agent: ureq::Agent,
    settings: OllamaSettings,
    identity: ModelIdentity,
    /// For questions: those who make vectors in the background wait by themselves.
    breaker: Mutex<Breaker>,
    clock: Arc<dyn Clock>,
    /// Whether this Ollama knows only `/api/embeddings`.
    old: AtomicBool,
    /// Whether a thread waits for the model to be loaded.
    loading: Arc<AtomicBool>,
}

impl Ollama {
    /// Asks Ollama for the model's digest and the length of its vectors.
    ///
    /// # Errors
    /// `Unavailable` when Ollama does not answer or answers nonsense, `NotFound` when it has no such model.
    pub fn open(settings: OllamaSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false).max_redirects(0).build();
        let agent = config.new_agent();
        let digest = look(&agent, &settings)?;
        let identity = ModelIdentity { name: settings.model.clone(), digest, dimensions: 0 };
        let old = AtomicBool::new(false);
        let loading = Arc::new(AtomicBool::new(false));
        let mut found = Self { agent, settings, identity, breaker: Mutex::default(), clock, old, loading };
        let probe = found.question(&[found.prefixed("search_document", PROBE)])?;
        found.identity.dimensions = probe.first().map_or(0, Vec::len);
        Ok(found)
    }

    /// The vectors of texts that somebody waits for.
    fn question(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        self.breaker().ask(self.clock.monotonic()).map_err(|left| {
            self.away(&format!("it failed several times; asked again in {} s", left.as_millis().div_ceil(1_000)))
        })?;
        let answer = self.ask(texts, QUESTION);
        match &answer {
            // Refusing a question is an answer: others may go well.
            Ok(_) | Err(Failed::Refused(_)) => self.breaker().succeeded(),
            Err(Failed::Away(why)) => {
                self.breaker().failed(self.clock.monotonic());
                if why == TOO_LATE {
                    self.load();
                }
            }
        }
        answer.map_err(|failed| self.away(failed.why()))
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask_twice(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failed> {
        self.ask(texts, WORK).or_else(|_| self.ask_again(texts))
    }

    fn ask_again(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failed> {
        std::thread::sleep(BACKOFF);
        self.ask(texts, WORK)
    }

    /// The vectors of `texts`, which are a batch at most, in order; of those that Ollama refuses, what it said. One text that
    /// it refuses makes it refuse all of a request, so the rest is asked in halves.
    fn each(&self, texts: &[String]) -> Result<Vec<Result<Vec<f32>, String>>, Failed> {
        let refused = match self.ask(texts, WORK) {
            Err(Failed::Refused(_)) if texts.len() > 1 => {
                let (some, others) = texts.split_at(texts.len() / 2);
                let mut vectors = self.each(some)?;
                vectors.extend(self.each(others)?);
                return Ok(vectors);
            }
            Err(_) => self.ask_again(texts),
            vectors => vectors,
        };
        let refused = match refused {
            Ok(vectors) => return Ok(vectors.into_iter().map(Ok).collect()),
            Err(Failed::Refused(why)) => why,
            Err(away) => return Err(away),
        };
        // A model that is gone or out of memory refuses everything, which says nothing of this text.
        self.ask(&[self.prefixed("search_document", PROBE)], WORK)?;
        Ok(vec![Err(refused)])
    }

    /// Has Ollama load the model while nobody waits: it stops to load one for whoever stopped to wait.
    fn load(&self) {
        if self.old.load(Ordering::Relaxed) || self.loading.swap(true, Ordering::Relaxed) {
            return;
        }
        let (agent, loading) = (self.agent.clone(), Arc::clone(&self.loading));
        let (url, body) = (self.url("/api/embed"), json!({"model": self.settings.model, "input": [PROBE]}));
        let started = std::thread::Builder::new().name("ollama".to_owned()).spawn(move || {
            // Whether it worked is seen by the next question.
            let _ = post(&agent, &url, &body, WORK);
            loading.store(false, Ordering::Relaxed);
        });
        if started.is_err() {
            self.loading.store(false, Ordering::Relaxed);
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url.trim_end_matches('/'))
    }

    fn ask(&self, texts: &[String], limit: Duration) -> Result<Vec<Vec<f32>>, Failed> {
        if !self.old.load(Ordering::Relaxed) {
            let body = json!({"model": self.settings.model, "input": texts});
            let (status, text) = post(&self.agent, &self.url("/api/embed"), &body, limit)?;
            // A missing model is a 404 with JSON; a missing interface is one without.
            if status != 404 || text.trim_start().starts_with('{') {
                let answer: Embedded = read(status, &text)?;
                return self.checked(answer.embeddings, texts.len());
            }
            self.old.store(true, Ordering::Relaxed);
        }
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            let body = json!({"model": self.settings.model, "prompt": text});
            let (status, text) = post(&self.agent, &self.url("/api/embeddings"), &body, limit)?;
            vectors.push(read::<EmbeddedOne>(status, &text)?.embedding);
        }
        self.checked(vectors, texts.len())
    }

    /// Vectors as this program needs them, or what is wrong with them.
    fn checked(&self, mut vectors: Vec<Vec<f32>>, count: usize) -> Result<Vec<Vec<f32>>, Failed> {
        if vectors.len() != count {
            return Err(Failed::Refused(format!(
                "it gave {} for {}",
                counted(vectors.len(), "vector", "vectors"),
                counted(count, "text", "texts")
            )));
        }
        let expected = match self.identity.dimensions {
            0 => vectors.first().map_or(0, Vec::len),
            known => known,
        };
        for vector in &mut vectors {
            if vector.len() != expected || vector.is_empty() || vector.len() > MAX_DIMENSIONS {
                let why = format!("it gave a vector of {} numbers, not {expected}", vector.len());
                return Err(Failed::Refused(why));
            }
            if vector.iter().any(|x| !x.is_finite()) || vector.iter().all(|x| *x == 0.0) {
                return Err(Failed::Refused("it gave a vector that points nowhere".to_owned()));
            }
            to_unit_length(vector);
        }
        Ok(vectors)
    }

    fn away(&self, why: &str) -> Fault {
        away(&self.settings, why)
    }

    /// Models of this kind were trained with the purpose in front of each text.
    fn prefixed(&self, purpose: &str, text: &str) -> String {
        if self.settings.model.contains("nomic-embed") { format!("{purpose}: {text}") } else { text.to_owned() }
    }
}

impl Embedder for Ollama {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<String> = texts.iter().map(|text| self.prefixed("search_document", text)).collect();
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            vectors.extend(self.ask_twice(batch).map_err(|failed| self.away(failed.why()))?);
        }
        Ok(vectors)
    }

    fn embed_each(&self, texts: &[&str]) -> Result<Vec<Result<Vec<f32>, String>>> {
        let texts: Vec<String> = texts.iter().map(|text| self.prefixed("search_document", text)).collect();
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            vectors.extend(self.each(batch).map_err(|failed| self.away(failed.why()))?);
        }
        Ok(vectors)
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let vector = self.question(&[self.prefixed("search_query", text)])?.pop();
        vector.ok_or_else(|| Fault::internal("the model gave no vector for a question"))
    }

    fn chunks(&self, text: &str) -> Vec<Range<usize>> {
        chunk::cut(text, WINDOW, ends)
    }
}

/// Why there are no vectors.
#[derive(Debug)]
enum Failed {
    /// It does not answer, or has no time now.
    Away(String),
    /// It answers, and not with vectors.
    Refused(String),
}

impl Failed {
    fn why(&self) -> &str {
        match self {
            Self::Away(why) | Self::Refused(why) => why,
        }
    }
}

fn post(agent: &ureq::Agent, url: &str, body: &serde_json::Value, limit: Duration) -> Result<(u16, String), Failed> {
    let request = agent.post(url).config().timeout_global(Some(limit)).build();
    let mut response =
        request.header("content-type", "application/json").send(body.to_string()).map_err(|error| away_for(&error))?;
    let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    Ok((response.status().as_u16(), text.map_err(|error| away_for(&error))?))
}

/// The digest of the model, from Ollama's list of models.
///
/// # Errors
/// As [`Ollama::open`].
pub fn look_at(settings: &OllamaSettings) -> Result<String> {
    let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false).max_redirects(0).build();
    look(&config.new_agent(), settings)
}

fn look(agent: &ureq::Agent, settings: &OllamaSettings) -> Result<String> {
    let url = format!("{}/api/tags", settings.base_url.trim_end_matches('/'));
    let asked = agent.get(&url).config().timeout_global(Some(LOOK)).build().call();
    let mut response = asked.map_err(|error| away(settings, &plain(&error)))?;
    let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let text = text.map_err(|error| away(settings, &plain(&error)))?;
    let tags: Tags = read(response.status().as_u16(), &text).map_err(|failed| away(settings, failed.why()))?;
    let latest = format!("{}:latest", settings.model);
    let found = tags.models.into_iter().find(|tag| tag.name == settings.model || tag.name == latest);
    match found {
        Some(tag) if !tag.digest.is_empty() && tag.digest.len() <= 100 => Ok(tag.digest),
        Some(_) => Err(away(settings, "it does not say the model's digest")),
        None => Err(Fault::not_found(format!("Ollama at {} has no model {}", settings.shown_url(), settings.model))
            .hint(format!("get it: ollama pull {}", settings.model))),
    }
}

fn read<'a, T: Deserialize<'a>>(status: u16, text: &'a str) -> Result<T, Failed> {
    if status != 200 {
        let said = serde_json::from_str::<Refusal>(text).map(|refusal| refusal.error).unwrap_or_default();
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let why = format!("it answers {status} {said}").trim_end().to_owned();
        // Too many ask it, which has nothing to do with the text.
        return Err(if matches!(status, 429 | 503) { Failed::Away(why) } else { Failed::Refused(why) });
    }
    serde_json::from_str(text).map_err(|_| Failed::Refused("its answer is no answer of Ollama".to_owned()))
}

fn away(settings: &OllamaSettings, why: &str) -> Fault {
    Fault::unavailable(format!("Ollama at {} cannot be used: {why}", settings.shown_url()))
        .hint("start it: ollama serve; or use the model of this machine with intelligence.enabled = false")
}

fn away_for(error: &ureq::Error) -> Failed {
    Failed::Away(plain(error))
}

fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => oneiric::paths::plain(error),
        ureq::Error::Timeout(_) => TOO_LATE.to_owned(),
        other => other.to_string(),
    }
}

/// Ends of what is about a word piece: four bytes of a word, or one wide letter.
fn ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut run = 0;
    for (at, letter) in text.char_indices() {
        let after = at + letter.len_utf8();
        match ends.last_mut() {
            _ if letter.is_whitespace() => run = 0,
            Some(last) if letter.is_ascii_alphanumeric() && (1..4).contains(&run) => {
                *last = after;
                run += 1;
            }
            _ => {
                ends.push(after);
                run = if letter.is_ascii_alphanumeric() { 1 } else { 0 };
            }
        }
    }
    ends
}

#[derive(Deserialize)]
struct Embedded {
    embeddings: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct EmbeddedOne {
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    #[serde(default)]
    digest: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}
