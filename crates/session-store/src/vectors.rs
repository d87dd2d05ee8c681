//! The contract of a place for vectors: derived data that stands beside the sessions and can be made again from them.
//!
//! Vectors belong to a [`Generation`]: one model, one way of making texts. A text has one vector in a generation, found
//! by its hash; an event has as many entries as its text has pieces. While a new generation grows, the active one answers.

use oneiric::fault::Result;

/// Hash of a text: the first half of its SHA-256.
pub type TextHash = [u8; 16];

/// Vectors whose codes stand in one row.
pub const CODES_A_BLOCK: usize = 1_024;

/// Whose vectors these are. Vectors of two models are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorModel {
    /// Name of the model.
    pub name: String,
    /// Digest of its weights.
    pub digest: String,
    /// Length of its vectors.
    pub dimensions: usize,
    /// Version of the texts that are made of events, and of codes and stored vectors.
    pub shape: u32,
}

/// Where a generation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number; later ones are higher.
    pub id: i64,
    /// Its model.
    pub model: VectorModel,
    /// Whether searches ask it.
    pub active: bool,
    /// Events up to this `seq` are in it, or say nothing.
    pub watermark: i64,
    /// Vectors.
    pub vectors: u64,
    /// Pieces of events.
    pub entries: u64,
    /// Texts that the model refuses.
    pub refused: u64,
    /// Changes whenever entries are taken away, so that readers load again.
    pub removals: u64,
}

/// A new vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVector {
    /// Hash of its text.
    pub hash: TextHash,
    /// The vector as it is compared at last.
    pub stored: Vec<u8>,
    /// Its code.
    pub code: Vec<u8>,
}

/// A piece of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The event.
    pub seq: i64,
    /// Which piece of it.
    pub piece: u32,
    /// From a hash of the event's id: a database that was restored may give a `seq` to another event.
    pub mark: i64,
    /// Hash of its text.
    pub hash: TextHash,
}

/// What one transaction adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorBatch {
    /// Vectors of texts that had none.
    pub vectors: Vec<NewVector>,
    /// Texts that the model refuses: they are not asked again, and their entries are left out.
    pub refused: Vec<TextHash>,
    /// Pieces of events, in the order of `seq`.
    pub entries: Vec<NewEntry>,
    /// Where the generation stood when the batch was made.
    pub from: i64,
    /// Where it stands with the batch.
    pub watermark: i64,
}

/// An entry as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The event.
    pub seq: i64,
    /// Place of its vector: the first has 0.
    pub place: u32,
    /// From a hash of the event's id.
    pub mark: i64,
}

/// Keeps vectors. Calls block.
pub trait Vectors: Send + Sync {
    /// All generations that are not given up, the oldest first.
    fn generations(&self) -> Result<Vec<Generation>>;

    /// The newest generation of `model`, made when there is none. The first of all is active from the beginning.
    fn generation(&self, model: &VectorModel) -> Result<Generation>;

    /// A new generation of `model`, though there may be one.
    fn begin(&self, model: &VectorModel) -> Result<Generation>;

    /// For each hash, whether the generation has its vector, or knows that the model refuses its text.
    fn known(&self, generation: i64, hashes: &[TextHash]) -> Result<Vec<bool>>;

    /// The stored vector and the code of a text in any generation of the same model and shape.
    fn elsewhere(&self, generation: i64, hash: &TextHash) -> Result<Option<NewVector>>;

    /// Adds a batch in one transaction.
    ///
    /// # Errors
    /// `Conflict` when the generation does not stand where the batch began: another process was faster.
    fn append(&self, generation: i64, batch: &VectorBatch) -> Result<()>;

    /// Makes `generation` the one that searches ask, and gives all others up, in one transaction.
    fn activate(&self, generation: i64) -> Result<()>;

    /// Removes up to `rows` rows of generations that were given up; whether there are more.
    fn sweep(&self, rows: usize) -> Result<bool>;

    /// Codes, block by block, from the block that holds vector `from` on: the first place of the block and its codes.
    fn codes(&self, generation: i64, from: u64, take: &mut dyn FnMut(u64, &[u8])) -> Result<()>;

    /// Entries in the order of adding, which is that of `seq`, from number `from` on. Gives the number of the next one.
    fn entries(&self, generation: i64, from: u64, take: &mut dyn FnMut(Entry)) -> Result<u64>;

    /// Calls `take` with the index in `places` and the stored vector, for those that there are.
    fn stored(&self, generation: i64, places: &[u32], take: &mut dyn FnMut(usize, &[u8])) -> Result<()>;

    /// Events in the generation from `seq` on with their marks, at most `limit`.
    fn marks_from(&self, generation: i64, seq: i64, limit: usize) -> Result<Vec<(i64, i64)>>;

    /// The marks of these events; `None` for those that have no entry.
    fn marks(&self, generation: i64, seqs: &[i64]) -> Result<Vec<Option<i64>>>;

    /// Takes the entries of these events away; with `again`, the watermark goes back so that they are made again.
    fn forget(&self, generation: i64, seqs: &[i64], again: bool) -> Result<()>;

    /// Bytes on disk, or in memory.
    fn bytes(&self) -> Result<u64>;
}
