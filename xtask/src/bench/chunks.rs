//! A home whose events have vectors: stored through the store's ingestion and indexed by the product's own indexer, with
//! the real model's name and vectors that are made, since a model would need an hour for a million texts.
//!
//! Vectors lie in clusters around what the real model makes of real texts of the corpus, so that a question that the real
//! model embeds has near and far neighbours as it would have.

use std::fs;
use std::ops::Range;
use std::sync::Arc;

use oneiric::clock::SystemClock;
use semantic::{Embedder, Indexer, ModelIdentity, ModelSettings, Models, Step, models, open};
use session_store::sqlite::{Options, SCHEMA_VERSION, SqliteStore, SqliteVectors};

use super::corpus::{Dice, EVENTS_A_SESSION, VERSION};
use super::database::{Filled, database, fill, index_version, learn, remove_older};
use super::{Bench, embed, timed};
use crate::Result;
use crate::program::Sandbox;

/// Texts that the real model embeds: the centres of the clusters.
const CENTRES: u64 = 2_000;
/// How far a vector lies from its centre: at 0.75 the cosine of the two is 0.8.
const AWAY: f32 = 0.75;
/// Changes when the vectors do.
const MADE: u32 = 1;

/// A home with `chunks` chunks, the model and their vectors: as it was kept, or made now.
pub(crate) fn embedded(bench: &Bench, chunks: u64) -> Result<Filled> {
    let home = texts(bench, chunks)?;
    let complete = home.sandbox.root().join("embedded");
    if !complete.exists() {
        let (taken, done) = timed(|| index(bench, &home));
        done?;
        eprintln!("bench: {chunks} chunks have vectors after {:.0} s", taken.as_secs_f64());
        fs::write(&complete, "")?;
    }
    Ok(home)
}

/// A copy of that home whose vectors are still to be made; removed with what is returned.
pub(crate) fn waiting(bench: &Bench, chunks: u64) -> Result<Filled> {
    let home = texts(bench, chunks)?;
    let sandbox = Sandbox::fresh(bench.folder.join("waiting-home"))?;
    let name = models::KNOWN[0].name;
    let (from, to) = (home.sandbox.home("session-buddy"), sandbox.home("session-buddy"));
    fs::create_dir_all(to.join("models").join(name))?;
    fs::copy(database(&home.sandbox), database(&sandbox))?;
    for file in fs::read_dir(from.join("models").join(name))? {
        let file = file?;
        fs::copy(file.path(), to.join("models").join(name).join(file.file_name()))?;
    }
    Ok(Filled { sandbox, sessions: home.sessions })
}

/// A home with `chunks` chunks and the model, of which some may have vectors.
fn texts(bench: &Bench, chunks: u64) -> Result<Filled> {
    // Neither the start nor the end of a session is embedded; every other event is one chunk.
    let sessions = chunks.div_ceil(EVENTS_A_SESSION - 2);
    let versions = format!("schema{SCHEMA_VERSION}-corpus{VERSION}-{:08x}-made{MADE}", index_version()?);
    let root = bench.folder.join(format!("chunks-{chunks}-{versions}"));
    let complete = root.join("complete");
    if !complete.exists() {
        remove_older(&bench.folder, &format!("chunks-{chunks}-"))?;
        let sandbox = Sandbox::kept(root.clone())?;
        fill(bench, &sandbox, sessions)?;
        let name = models::KNOWN[0].name;
        models::import(
            &sandbox.home("session-buddy").join("models"),
            name,
            &embed::package()?,
            false,
            &mut |_, _, _| {},
        )?;
        fs::write(&complete, "")?;
    }
    learn(&database(&Sandbox::kept(root.clone())?))?;
    Ok(Filled { sandbox: Sandbox::kept(root)?, sessions })
}

fn index(bench: &Bench, home: &Filled) -> Result {
    let name = models::KNOWN[0].name;
    let real = open(&ModelSettings::local(name), &home.sandbox.home("session-buddy").join("models"))?;
    let mut centres = Vec::new();
    for number in 0..CENTRES {
        let text = bench.corpus.text(number * (home.events() / CENTRES).max(1));
        centres.extend(real.embed(&[&text])?);
    }
    let made = Arc::new(Made { identity: real.identity().clone(), centres });
    let path = database(&home.sandbox);
    let store = Arc::new(SqliteStore::open(&path, Options::new(Arc::new(SystemClock)))?);
    let vectors = Arc::new(SqliteVectors::open(&path.with_file_name("vectors.db"))?);
    let mut indexer = Indexer::new(store, vectors, Arc::new(Always(made)));
    loop {
        match indexer.step(&|| false)? {
            Step::Worked { .. } => {}
            Step::Idle => return Ok(()),
            Step::Stopped => return Err("something else makes vectors here".into()),
        }
    }
}

/// Stands for the real model.
struct Made {
    identity: ModelIdentity,
    centres: Vec<Vec<f32>>,
}

impl Made {
    fn vector(&self, text: &str) -> Vec<f32> {
        let seed = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |seed: u64, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut dice = Dice::new(seed);
        let centre = &self.centres[dice.below(self.centres.len() as u64) as usize];
        // The sum of three even numbers is near enough to a normal one.
        let mut number = || (0..3).map(|_| dice.below(1 << 16) as f32 / 32_768.0 - 1.0).sum::<f32>();
        let scale = AWAY / (centre.len() as f32).sqrt();
        let mut vector: Vec<f32> = centre.iter().map(|centre| centre + scale * number()).collect();
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|number| *number /= length);
        vector
    }
}

impl Embedder for Made {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn embed(&self, texts: &[&str]) -> oneiric::fault::Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }

    fn chunks(&self, text: &str) -> Vec<Range<usize>> {
        std::iter::once(0..text.len()).collect()
    }
}

struct Always(Arc<Made>);

impl Models for Always {
    fn chosen(&self) -> oneiric::fault::Result<Arc<dyn Embedder>> {
        Ok(Arc::clone(&self.0) as Arc<dyn Embedder>)
    }

    fn named(&self, _: &str, _: &str) -> oneiric::fault::Result<Arc<dyn Embedder>> {
        self.chosen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_vectors_lie_near_their_centre_and_are_the_same_for_the_same_text() {
        let identity = ModelIdentity { name: "m".into(), digest: "d".into(), dimensions: 384 };
        let centre = vec![1.0 / 384.0_f32.sqrt(); 384];
        let made = Made { identity, centres: vec![centre.clone()] };
        let vector = made.vector("a text");
        let cosine: f32 = vector.iter().zip(&centre).map(|(a, b)| a * b).sum();
        assert!((0.7..0.9).contains(&cosine), "{cosine}");
        assert_eq!(vector, made.vector("a text"));
        assert_ne!(vector, made.vector("another"));
    }
}
