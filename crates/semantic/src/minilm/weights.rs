//! A model's weights from a safetensors file: the layers go to memory, the word vectors (half of the file) stay on disk and
//! are read a row at a time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::encoder::{Encoder, Layer, Shape};
use super::loops::Norm;
use super::product::Linear;

/// Headers of such models have some ten kilobytes.
const MAX_HEADER: u64 = 1 << 20;
/// No tensor of a model of this kind is larger.
const MAX_TENSOR: usize = 256 << 20;
const EPSILON: f32 = 1e-12;

/// Word, position and kind vectors: what a token is before the first layer.
pub(super) struct Embeddings {
    file: File,
    path: PathBuf,
    words_at: u64,
    vocabulary: usize,
    /// Position vectors with the vector of the only text kind added.
    positions: Vec<f32>,
    pub(super) norm: Norm,
}

impl Embeddings {
    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.positions.len() * size_of::<f32>()
    }

    /// Writes the sum of word and position vectors of every token, text after text.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read any more.
    pub(super) fn fill(&self, texts: &[&[u32]], x: &mut [f32]) -> Result<()> {
        let width = self.norm.scale.len();
        let mut bytes = vec![0_u8; width * size_of::<f32>()];
        let mut rows = x.chunks_exact_mut(width);
        for ids in texts {
            for ((id, position), row) in ids.iter().zip(self.positions.chunks_exact(width)).zip(rows.by_ref()) {
                let index = (*id as usize).min(self.vocabulary - 1);
                let at = self.words_at + (index * bytes.len()) as u64;
                self.file.read_exact_at(&mut bytes, at).map_err(|error| unreadable(&self.path, &error))?;
                let (numbers, _) = bytes.as_chunks::<4>();
                for ((value, number), position) in row.iter_mut().zip(numbers).zip(position) {
                    *value = f32::from_le_bytes(*number) + position;
                }
            }
        }
        Ok(())
    }
}

/// Reads a BERT encoder's weights.
///
/// # Errors
/// `Unavailable` when the file cannot be read or is not whole, or holds another kind of model.
pub(super) fn read(path: &Path, heads: usize) -> Result<Encoder> {
    let reader = Reader::open(path)?;
    let [vocabulary, width] = reader.matrix("embeddings.word_embeddings.weight")?;
    let [positions, _] = reader.matrix("embeddings.position_embeddings.weight")?;
    let [inner, _] = reader.matrix("encoder.layer.0.intermediate.dense.weight")?;
    let layers = (0..)
        .take_while(|layer| reader.header.info(&format!("encoder.layer.{layer}.output.dense.weight")).is_some())
        .count();
    let shape = Shape { width, heads, inner, layers, vocabulary, positions };
    if vocabulary == 0 || positions == 0 || inner == 0 || heads == 0 || width == 0 || width % heads != 0 {
        return Err(reader.wrong("its sizes do not fit each other"));
    }
    let norm = |name: String| -> Result<Norm> {
        Ok(Norm {
            scale: reader.numbers(&format!("{name}.weight"), &[width])?,
            shift: reader.numbers(&format!("{name}.bias"), &[width])?,
            epsilon: EPSILON,
        })
    };
    let linear = |name: String, inputs: usize, outputs: usize| -> Result<(Linear, Vec<f32>)> {
        let weights = reader.numbers(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok((Linear::new(&weights, inputs, outputs), reader.numbers(&format!("{name}.bias"), &[outputs])?))
    };
    let mut position = reader.numbers("embeddings.position_embeddings.weight", &[positions, width])?;
    let [kinds, _] = reader.matrix("embeddings.token_type_embeddings.weight")?;
    let kind = reader.numbers("embeddings.token_type_embeddings.weight", &[kinds, width])?;
    for row in position.chunks_exact_mut(width) {
        for (value, kind) in row.iter_mut().zip(&kind) {
            *value += kind;
        }
    }
    let layers = (0..layers)
        .map(|layer| {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            let mut qkv = Vec::with_capacity(3 * width * width);
            let mut qkv_bias = Vec::with_capacity(3 * width);
            for part in ["query", "key", "value"] {
                qkv.extend(reader.numbers(&name(&format!("attention.self.{part}.weight")), &[width, width])?);
                qkv_bias.extend(reader.numbers(&name(&format!("attention.self.{part}.bias")), &[width])?);
            }
            let (out, out_bias) = linear(name("attention.output.dense"), width, width)?;
            let (up, up_bias) = linear(name("intermediate.dense"), width, inner)?;
            let (down, down_bias) = linear(name("output.dense"), inner, width)?;
            Ok(Layer {
                qkv: Linear::new(&qkv, width, 3 * width),
                qkv_bias,
                out,
                out_bias,
                out_norm: norm(name("attention.output.LayerNorm"))?,
                up,
                up_bias,
                down,
                down_bias,
                down_norm: norm(name("output.LayerNorm"))?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let embeddings = Embeddings {
        words_at: reader.place("embeddings.word_embeddings.weight", &[vocabulary, width])?,
        vocabulary,
        positions: position,
        norm: norm("embeddings.LayerNorm".to_owned())?,
        path: reader.path,
        file: reader.file,
    };
    Ok(Encoder { shape, embeddings, layers })
}

/// An opened safetensors file.
struct Reader {
    file: File,
    path: PathBuf,
    header: Metadata,
    data_at: u64,
}

impl Reader {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let length = file.metadata().map_err(|error| unreadable(path, &error))?.len();
        let mut size = [0_u8; 8];
        file.read_exact_at(&mut size, 0).map_err(|_| wrong(path, "it is not a safetensors file"))?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER || size + 8 > length {
            return Err(wrong(path, "it is not a safetensors file, or not all of it is there"));
        }
        let mut header = vec![0_u8; usize::try_from(size).unwrap_or_default()];
        file.read_exact_at(&mut header, 8).map_err(|error| unreadable(path, &error))?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|_| wrong(path, "its header is damaged"))?;
        let reader = Self { file, path: path.to_path_buf(), header, data_at: 8 + size };
        let end = reader.header.data_len() as u64;
        if reader.data_at.checked_add(end) != Some(length) {
            let expected = reader.data_at.saturating_add(end);
            return Err(reader.wrong(&format!("it has {length} of {expected} bytes")));
        }
        Ok(reader)
    }

    fn wrong(&self, why: &str) -> Fault {
        wrong(&self.path, why)
    }

    /// Rows and columns of a tensor that must be there.
    fn matrix(&self, name: &str) -> Result<[usize; 2]> {
        let info = self.header.info(name).ok_or_else(|| self.wrong(&format!("it has no {name}")))?;
        <[usize; 2]>::try_from(info.shape.as_slice()).map_err(|_| self.wrong(&format!("{name} is not a matrix")))
    }

    /// Where in the file a tensor of this shape begins.
    fn place(&self, name: &str, shape: &[usize]) -> Result<u64> {
        let info = self.header.info(name).ok_or_else(|| self.wrong(&format!("it has no {name}")))?;
        let bytes = shape.iter().try_fold(size_of::<f32>(), |all, side| all.checked_mul(*side));
        let (start, end) = info.data_offsets;
        if info.dtype != Dtype::F32 || info.shape != shape || bytes != end.checked_sub(start) {
            return Err(self.wrong(&format!("{name} is {:?} {:?}, not F32 {shape:?}", info.dtype, info.shape)));
        }
        Ok(self.data_at + start as u64)
    }

    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let at = self.place(name, shape)?;
        let count: usize = shape.iter().product();
        if count > MAX_TENSOR {
            return Err(self.wrong(&format!("{name} is too large")));
        }
        let mut bytes = vec![0_u8; count * size_of::<f32>()];
        self.file.read_exact_at(&mut bytes, at).map_err(|error| unreadable(&self.path, &error))?;
        let (numbers, _) = bytes.as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(self.wrong(&format!("{name} holds numbers that are none")));
        }
        Ok(numbers)
    }
}

fn wrong(path: &Path, why: &str) -> Fault {
    Fault::unavailable(format!("{} does not hold the model: {why}", path.display()))
        .hint("get it again: session-buddy models pull")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot read {}: {}", path.display(), oneiric::paths::plain(error)))
        .hint("get it again: session-buddy models pull")
}
