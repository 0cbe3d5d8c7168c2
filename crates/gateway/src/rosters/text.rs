//! Bytes to text, chunk by chunk, in the charset that the request names.

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use super::BodyError;

/// Decodes a body and counts its lines.
pub struct TextDecoder {
    charset: &'static Encoding,
    decoder: Decoder,
    /// Bytes of a character that the last chunk cut.
    cut: Vec<u8>,
    text: String,
    lines: u64,
    at_start: bool,
}

impl TextDecoder {
    /// A decoder for a charset.
    pub fn new(charset: &'static Encoding) -> Self {
        let decoder = charset.new_decoder_with_bom_removal();
        Self { charset, decoder, cut: Vec::new(), text: String::new(), lines: 0, at_start: true }
    }

    /// Gives the text of the next chunk to `take`, in one piece or two; `last` ends it.
    ///
    /// # Errors
    /// `not-utf-8` or `not-gb18030`, naming the line, and what `take` answers.
    pub fn decode(
        &mut self,
        chunk: &[u8],
        last: bool,
        mut take: impl FnMut(&str) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        if self.charset != UTF_8 {
            return take(self.decode_other(chunk, last)?);
        }
        let mut rest = chunk;
        if let Some(first) = self.cut.first() {
            // The first byte of a character tells how many it has.
            let width = usize::try_from(first.leading_ones()).unwrap_or_default();
            let missing;
            (missing, rest) = rest.split_at(width.saturating_sub(self.cut.len()).min(rest.len()));
            let mut character = std::mem::take(&mut self.cut);
            character.extend_from_slice(missing);
            take(self.decode_utf8(&character, last && rest.is_empty())?)?;
        }
        if rest.is_empty() { Ok(()) } else { take(self.decode_utf8(rest, last)?) }
    }

    fn decode_utf8<'a>(&mut self, bytes: &'a [u8], last: bool) -> Result<&'a str, BodyError> {
        let (valid, cut) = self.split_valid(bytes, last)?;
        self.cut = cut.to_vec();
        Ok(self.begin(valid))
    }

    /// Splits off a character that the end of the chunk cuts.
    fn split_valid<'a>(&self, bytes: &'a [u8], last: bool) -> Result<(&'a str, &'a [u8]), BodyError> {
        let error = match std::str::from_utf8(bytes) {
            Ok(text) => return Ok((text, &[])),
            Err(error) => error,
        };
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let text = std::str::from_utf8(valid).unwrap_or_default();
        if error.error_len().is_none() && !last {
            return Ok((text, rest));
        }
        let line = self.lines + count_lines(text) + 1;
        let detail =
            "The line is not UTF-8. If the file is GBK, send it with `charset=gbk` in the content type.";
        Err(BodyError::at_line(line, "not-utf-8", detail))
    }

    fn begin<'a>(&mut self, text: &'a str) -> &'a str {
        let text = if self.at_start { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        self.at_start = self.at_start && text.is_empty();
        self.lines += count_lines(text);
        text
    }

    fn decode_other(&mut self, chunk: &[u8], last: bool) -> Result<&str, BodyError> {
        self.text.clear();
        let needed = self.decoder.max_utf8_buffer_length_without_replacement(chunk.len());
        self.text.reserve(needed.unwrap_or(chunk.len() * 4));
        let (result, _) = self.decoder.decode_to_string_without_replacement(chunk, &mut self.text, last);
        let decoded = count_lines(&self.text);
        if let DecoderResult::Malformed(..) = result {
            let detail = "The line is not in the charset that the content type names.";
            return Err(BodyError::at_line(self.lines + decoded + 1, "not-gb18030", detail));
        }
        self.lines += decoded;
        Ok(&self.text)
    }
}

fn count_lines(text: &str) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', text.as_bytes()).count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::GB18030;

    fn push(text: &mut String, piece: &str) -> Result<(), BodyError> {
        text.push_str(piece);
        Ok(())
    }

    fn byte_by_byte(charset: &'static Encoding, bytes: &[u8]) -> Result<String, BodyError> {
        let mut decoder = TextDecoder::new(charset);
        let mut text = String::new();
        for at in 0..bytes.len() {
            decoder.decode(&bytes[at..=at], false, |piece| push(&mut text, piece))?;
        }
        decoder.decode(&[], true, |piece| push(&mut text, piece))?;
        Ok(text)
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        assert_eq!(byte_by_byte(UTF_8, "\u{feff}张三,🙂\n".as_bytes()).unwrap(), "张三,🙂\n");
        let gbk = [0xd5, 0xc5, 0xc8, 0xfd, b',', b'1', b'\n'];
        assert_eq!(byte_by_byte(GB18030, &gbk).unwrap(), "张三,1\n");
    }

    #[test]
    fn the_bad_line_is_named() {
        let error = byte_by_byte(UTF_8, b"a\nb\n\xd5\xc5\n").unwrap_err();
        assert_eq!((error.line, error.code), (Some(3), "not-utf-8"));
        let error = byte_by_byte(GB18030, b"a\n\xff\n").unwrap_err();
        assert_eq!((error.line, error.code), (Some(2), "not-gb18030"));
        assert!(byte_by_byte(UTF_8, b"ok\n\xe5\xbc").is_err());
    }
}
