//! The text of PDF files. The libraries that read them trust a file more than they should, so this
//! runs in a process of its own (src/base/child_process.h): what is caught here is what can be.

use std::io::{self, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};

use pdf_extract::{output_doc_page, Document, PlainTextOutput};

use crate::error::{Result, Status, TextError};

pub struct PdfLimits {
    pub pages_max: usize,
    pub text_bytes_max: usize,
}

/// Keeps what fits.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.bytes_max {
            self.is_full = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(pdf: &[u8]) -> Result<Document> {
    let mut document = Document::load_mem(pdf).map_err(|error| {
        TextError::invalid(format!("this is no PDF file that can be read: {error}"))
    })?;
    if document.is_encrypted() && document.decrypt("").is_err() {
        return Err(TextError::invalid("the PDF file is protected by a password"));
    }
    Ok(document)
}

/// All pages' text, in their order, pages apart by a blank line. A page that cannot be read is left
/// out, as long as another has text.
pub fn pdf_text(pdf: &[u8], limits: &PdfLimits) -> Result<String> {
    let document = open(pdf)?;
    let pages: Vec<u32> = document.get_pages().keys().copied().collect();
    if pages.len() > limits.pages_max {
        return Err(TextError::new(
            Status::TooLarge,
            format!(
                "the PDF file has {} pages, at most {} are read",
                pages.len(),
                limits.pages_max
            ),
        ));
    }
    let mut text = Bounded { bytes: Vec::new(), bytes_max: limits.text_bytes_max, is_full: false };
    for page in pages {
        let begin = text.bytes.len();
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut output = PlainTextOutput::new(&mut text as &mut dyn Write);
            output_doc_page(&document, &mut output, page).is_ok()
        }));
        if text.is_full {
            return Err(TextError::new(
                Status::TooLarge,
                format!("the PDF file has more than {} bytes of text", limits.text_bytes_max),
            ));
        }
        if !read.unwrap_or(false) && text.bytes[begin..].trim_ascii().is_empty() {
            text.bytes.truncate(begin);
            continue;
        }
        text.bytes.extend_from_slice(b"\n\n");
    }
    let whole = String::from_utf8_lossy(&text.bytes);
    let whole = whole.trim();
    if whole.is_empty() {
        return Err(TextError::invalid(
            "the PDF file holds no text: its pages are pictures (a scan), which cannot be read",
        ));
    }
    Ok(whole.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PdfLimits = PdfLimits { pages_max: 4, text_bytes_max: 1 << 16 };

    /// A file with one page for each text, and no cross-reference table of much worth.
    fn make_pdf(texts: &[&str]) -> Vec<u8> {
        use pdf_extract::{dictionary, Object, Stream};
        let mut document = Document::with_version("1.5");
        let pages = document.new_object_id();
        let font = document.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier",
        });
        let resources = document.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
        let mut kids: Vec<Object> = Vec::new();
        for text in texts {
            let content = format!("BT /F1 12 Tf 100 600 Td ({text}) Tj ET");
            let content = document.add_object(Stream::new(dictionary! {}, content.into_bytes()));
            let page = document.add_object(dictionary! {
                "Type" => "Page", "Parent" => pages, "Contents" => content,
            });
            kids.push(page.into());
        }
        let count = kids.len() as i64;
        let tree = dictionary! {
            "Type" => "Pages", "Kids" => kids, "Count" => count, "Resources" => resources,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
        };
        document.objects.insert(pages, Object::Dictionary(tree));
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
        document.trailer.set("Root", catalog);
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_pages_in_their_order() {
        let text = pdf_text(&make_pdf(&["Hello there", "Second page"]), &LIMITS).unwrap();
        let first = text.find("Hello there").unwrap();
        assert!(first < text.find("Second page").unwrap());
    }

    #[test]
    fn says_where_there_is_no_text() {
        let error = pdf_text(&make_pdf(&[""]), &LIMITS).unwrap_err();
        assert_eq!(error.status, Status::InvalidRequest);
        assert!(error.message.contains("holds no text"));
    }

    #[test]
    fn refuses_what_is_no_pdf() {
        for bytes in [&b""[..], b"hello", b"%PDF-1.5\n", &make_pdf(&["x"])[..40]] {
            assert_eq!(pdf_text(bytes, &LIMITS).unwrap_err().status, Status::InvalidRequest);
        }
    }

    #[test]
    fn keeps_its_limits() {
        let pages = pdf_text(&make_pdf(&["a"; 5]), &LIMITS).unwrap_err();
        assert_eq!(pages.status, Status::TooLarge);
        let limits = PdfLimits { pages_max: 4, text_bytes_max: 8 };
        let bytes = pdf_text(&make_pdf(&["a long enough text"]), &limits).unwrap_err();
        assert_eq!(bytes.status, Status::TooLarge);
    }
}
