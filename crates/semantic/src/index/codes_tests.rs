//! The nearest by codes and stored bytes, against the nearest by exact arithmetic.

use super::super::{Encoder, cosine};
use super::*;

struct Chance(u64);

impl Chance {
    fn number(&mut self) -> f32 {
        // The sum of a few even numbers is near enough to a normal one.
        (0..4)
            .map(|_| {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
            })
            .sum()
    }

    fn vector(&mut self, around: &[f32], spread: f32) -> Vec<f32> {
        let mut vector: Vec<f32> = around.iter().map(|number| number + spread * self.number()).collect();
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|number| *number /= length);
        vector
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn the_ten_nearest_of_clustered_vectors_are_found_whatever_their_length() {
    for dimensions in [384, 100] {
        let mut chance = Chance(7);
        let origin = vec![0.0; dimensions];
        let centres: Vec<Vec<f32>> = (0..40).map(|_| chance.vector(&origin, 1.0)).collect();
        let spread = 0.6 / (dimensions as f32).sqrt();
        let vectors: Vec<Vec<f32>> = (0..2_003).map(|index| chance.vector(&centres[index % 40], spread)).collect();
        let encoder = Encoder::new(dimensions);
        let mut codes = Codes::new(dimensions);
        let stored: Vec<Vec<u8>> = vectors
            .iter()
            .map(|vector| {
                let (code, stored) = encoder.encode(vector);
                let mut bytes = Vec::new();
                code.write(&mut bytes);
                assert_eq!(Code::read(&bytes, dimensions).as_ref(), Some(&code));
                codes.push(&code);
                stored
            })
            .collect();
        let mut found = 0;
        for centre in &centres[..20] {
            let asked = chance.vector(centre, spread);
            let query = encoder.query(&asked);
            let mut exact: Vec<usize> = (0..vectors.len()).collect();
            exact.sort_by(|a, b| dot(&asked, &vectors[*b]).total_cmp(&dot(&asked, &vectors[*a])));
            let mut near: Vec<(f32, usize)> = codes
                .nearest(&query, codes.len(), 100, 8)
                .iter()
                .map(|scored| {
                    let place = scored.place as usize;
                    let cosine = cosine(&query, &stored[place]).unwrap_or(-1.0);
                    assert!((cosine - dot(&asked, &vectors[place])).abs() < 0.01);
                    assert!((cosine - scored.score).abs() < 0.25, "{cosine} {}", scored.score);
                    (cosine, place)
                })
                .collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            found += exact[..10].iter().filter(|place| near[..10].iter().any(|one| one.1 == **place)).count();
        }
        assert!(found >= 194, "{dimensions}: {found} of 200");
    }
}

#[test]
fn fewer_vectors_than_asked_for_come_all_and_none_from_nothing() {
    let encoder = Encoder::new(64);
    let mut codes = Codes::new(64);
    let query = encoder.query(&[0.125; 64]);
    assert!(codes.nearest(&query, codes.len(), 10, 4).is_empty());
    for _ in 0..3 {
        codes.push(&encoder.encode(&[0.125; 64]).0);
    }
    let places: Vec<u32> = codes.nearest(&query, codes.len(), 10, 4).iter().map(|one| one.place).collect();
    assert_eq!(places, [2, 1, 0], "among equals the newest first");
    assert_eq!(codes.ordered(&query, [1, 7].into_iter()).len(), 1);
}

#[test]
fn of_the_first_vectors_the_same_are_found_whatever_came_behind_them() {
    let mut chance = Chance(3);
    let encoder = Encoder::new(64);
    let origin = [0.0; 64];
    let all: Vec<Code> = (0..20_000).map(|_| encoder.encode(&chance.vector(&origin, 1.0)).0).collect();
    let query = encoder.query(&chance.vector(&origin, 1.0));
    let mut whole = Codes::new(64);
    all.iter().for_each(|code| whole.push(code));
    for first in [0, 1, 31, 32, 33, 8_191, 8_192, 8_193, 16_400, 20_000, 30_000] {
        let mut codes = Codes::new(64);
        all.iter().take(first).for_each(|code| codes.push(code));
        let then = codes.nearest(&query, codes.len(), 20, 4);
        assert_eq!(whole.nearest(&query, first, 20, 4), then, "{first}");
        assert_eq!(then.len(), first.min(20));
    }
}
