//! What a filter does not let pass is never given, narrow or broad.

use proptest::prelude::*;
use session_store::SearchFilter;

use super::world::World;

const WORDS: [&str; 8] = ["apple", "river", "engine", "cloud", "paper", "winter", "garden", "metal"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_project_gives_its_own_events_and_all_that_are_wanted(
        sessions in proptest::collection::vec((0..3_usize, proptest::collection::vec((0..8_usize, 0..8_usize), 1..6)), 1..12),
        asked in (0..8_usize, 0..8_usize),
        limit in 1..40_usize,
    ) {
        let world = World::new();
        let mut of = [0_usize; 3];
        for (index, (project, texts)) in sessions.iter().enumerate() {
            let texts: Vec<String> = texts.iter().map(|(a, b)| format!("{} {}", WORDS[*a], WORDS[*b])).collect();
            of[*project] += texts.len();
            world.session(&format!("{project}x{index}"), &format!("p{project}"), &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
        world.index();
        let query = format!("{} {}", WORDS[asked.0], WORDS[asked.1]);
        for (project, count) in of.iter().enumerate() {
            let filter = SearchFilter { project: Some(format!("p{project}")), ..SearchFilter::default() };
            let found = world.ids(&query, &filter, limit);
            let leaked = found.iter().find(|id| !id.starts_with(&format!("{project}x")));
            prop_assert!(leaked.is_none(), "{leaked:?} is not of p{project}");
            prop_assert_eq!(found.len(), (*count).min(limit));
            // A filter that the store cannot turn into a list of events.
            let broad = SearchFilter { event_type: Some("message".into()), ..SearchFilter::default() };
            prop_assert_eq!(world.ids(&query, &broad, limit).len(), of.iter().sum::<usize>().min(limit));
        }
        let none = SearchFilter { event_type: Some("command".into()), ..SearchFilter::default() };
        prop_assert!(world.ids(&query, &none, limit).is_empty());
    }
}
