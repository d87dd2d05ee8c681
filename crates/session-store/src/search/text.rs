//! The searchable texts of an event: every string in its data, in order; names of fields and numbers are not.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Calls `take` with each string of a JSON document. What cannot be parsed has no text from there on.
pub fn each_text(json: &str, take: &mut dyn FnMut(&str)) {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // An error ends the walk; the document was valid when it was stored.
    let _ = Walk(take).deserialize(&mut deserializer);
}

struct Walk<'t>(&'t mut dyn FnMut(&str));

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.0)(text);
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk(&mut *self.0))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(Key { number }) = fields.next_key()? {
            if number {
                fields.next_value::<serde::de::IgnoredAny>()?;
            } else {
                fields.next_value_seed(Walk(&mut *self.0))?;
            }
        }
        Ok(())
    }
}

/// A field's name, of which only one thing matters: with `serde_json/arbitrary_precision`, which another crate of the
/// build may turn on, a number comes as an object whose only field has this name.
struct Key {
    number: bool,
}

const NUMBER: &str = "$serde_json::private::Number";

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(Key { number: name == NUMBER })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_at_any_depth_are_text_and_nothing_else_is() {
        let mut found = Vec::new();
        each_text(r#"{"a":"one","b":{"c":["two",3,true,null,{"d":"thr\u00e9e\n"}]},"e":1.5}"#, &mut |text| {
            found.push(text.to_owned());
        });
        assert_eq!(found, ["one", "two", "thrée\n"]);
    }

    #[test]
    fn a_document_that_breaks_off_gives_what_came_before() {
        let mut found = Vec::new();
        each_text(r#"{"a":"one","b":"tw"#, &mut |text| found.push(text.to_owned()));
        assert_eq!(found, ["one"]);
    }
}
