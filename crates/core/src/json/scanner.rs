//! A walk over JSON that looks for borders only and goes over each byte once, however deep what is looked for stands.

use super::{KnownFields, Places, string_end, words::quote_end};

/// A place in a text. Everything answers `None` where the text is not made as was asked; what stands between borders is for
/// a parser to judge.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a text.
    pub const fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// Moves behind the object that begins here, and gives the name of each member to `take`, which moves behind its value.
    /// Names with escapes are not known here.
    pub fn object(&mut self, mut take: impl FnMut(&'a [u8], &mut Self) -> Option<()>) -> Option<()> {
        self.pieces(b'{', b'}', |scanner| {
            scanner.takes(b'"').then_some(())?;
            let end = quote_end(scanner.bytes, scanner.at);
            let name = scanner.bytes.get(scanner.at..end)?;
            (scanner.bytes.get(end) == Some(&b'"')).then_some(())?;
            scanner.at = end + 1;
            scanner.takes(b':').then_some(())?;
            take(name, scanner)
        })
    }

    /// Moves behind the list that begins here; `take` moves behind each element.
    pub fn list(&mut self, take: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.pieces(b'[', b']', take)
    }

    /// Moves behind the value that begins here. If that is an object that is written plainly, its fields are found on the way.
    pub fn record(&mut self, known: &'static KnownFields) -> Option<(&'a str, Option<Places>)> {
        self.next_byte()?;
        let start = self.at;
        match Places::find_plain(self.text.get(start..)?, known) {
            Some((places, length)) => {
                self.at += length;
                Some((self.text.get(start..self.at)?, Some(places)))
            }
            None => Some((self.value()?, None)),
        }
    }

    /// Moves behind the value that begins here.
    pub fn value(&mut self) -> Option<&'a str> {
        let first = self.next_byte()?;
        let start = self.at;
        self.at = match first {
            b'"' => string_end(self.bytes, start)?,
            b'{' | b'[' => nested_end(self.bytes, start)?,
            _ => {
                let is_inside =
                    |byte: &&u8| !matches!(**byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
                start + self.bytes[start..].iter().take_while(is_inside).count()
            }
        };
        self.text.get(start..self.at).filter(|value| !value.is_empty())
    }

    /// Whether nothing follows.
    pub fn is_at_end(&mut self) -> bool {
        self.next_byte().is_none()
    }

    fn pieces(&mut self, open: u8, close: u8, mut take: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.takes(open).then_some(())?;
        if self.takes(close) {
            return Some(());
        }
        loop {
            take(self)?;
            if self.takes(close) {
                return Some(());
            }
            self.takes(b',').then_some(())?;
        }
    }

    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn takes(&mut self, wanted: u8) -> bool {
        let is_it = self.next_byte() == Some(wanted);
        self.at += usize::from(is_it);
        is_it
    }
}

/// The place after the bracket that closes the one at `open`.
fn nested_end(bytes: &[u8], open: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, open);
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::FieldReader, *};

    type Found<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>);

    /// The elements of the list `l`, and the other members.
    fn scan(text: &str) -> Option<Found<'_>> {
        let show = |bytes| std::str::from_utf8(bytes).unwrap();
        let (mut elements, mut others) = (Vec::new(), Vec::new());
        let mut scanner = Scanner::new(text);
        scanner.object(|name, scanner| match name {
            b"l" => scanner.list(|scanner| {
                elements.push(scanner.value()?);
                Some(())
            }),
            _ => {
                others.push((show(name), scanner.value()?));
                Some(())
            }
        })?;
        scanner.is_at_end().then_some((elements, others))
    }

    #[test]
    fn borders_are_found_in_one_walk() {
        let text = r#" { "a" : "x,]\"" ,"l":[ {"k":["}",{}]} ,null, 1],"b":-1.5 , "c":[] } "#;
        let (elements, others) = scan(text).unwrap();
        assert_eq!(elements, [r#"{"k":["}",{}]}"#, "null", "1"]);
        assert_eq!(others, [("a", r#""x,]\"""#), ("b", "-1.5"), ("c", "[]")]);
        assert_eq!(scan(r#"{"l":[]}"#), Some((vec![], vec![])));
        assert_eq!(scan("{}"), Some((vec![], vec![])));
    }

    #[test]
    fn fields_are_found_with_the_borders_where_that_is_easy() {
        static KNOWN: KnownFields = KnownFields::new(&["id", "name"]);
        let text = r#"[ {"id":"1","name":"a"} , {"id":"2","name":"\ud83d\ude00"},null,{"id":} ,{}]"#;
        let mut scanner = Scanner::new(text);
        let mut found = Vec::new();
        let ended = scanner.list(|scanner| {
            let (json, places) = scanner.record(&KNOWN)?;
            let id = places.map(|places| FieldReader::new(json, places).text(KNOWN.field("id")));
            found.push((json, id.map(|id| id.unwrap_or_default())));
            Some(())
        });
        assert!(ended.is_some() && scanner.is_at_end());
        assert_eq!(
            found,
            [
                (r#"{"id":"1","name":"a"}"#, Some("1".into())),
                (r#"{"id":"2","name":"\ud83d\ude00"}"#, None),
                ("null", None),
                (r#"{"id":}"#, None),
                ("{}", Some("".into())),
            ]
        );
    }

    #[test]
    fn what_has_no_borders_is_none() {
        for bad in [
            "",
            "[]",
            "{",
            "{} x",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1"#,
            r#"{"a":"x}"#,
            r#"{"a\u0062":1}"#,
            r#"{"l":[1}"#,
            r#"{"l":[1,]}"#,
            r#"{"l":[[1]}"#,
            r#"{"l":{}}"#,
            r#"{a:1}"#,
            r#"{"a":1 2}"#,
        ] {
            assert_eq!(scan(bad), None, "{bad}");
        }
    }
}
