//! Counts the instructions in a BPF object.

use anyhow::{Context, Result};
use object::elf::{FileHeader64, SHF_EXECINSTR};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, elf};

/// One instruction slot; a 64-bit load takes two, and the kernel counts it as two.
const INSTRUCTION: u64 = 8;

/// A section of code: one kind of program, or `.text`, the functions that programs call.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Code {
    pub(crate) section: String,
    pub(crate) instructions: u64,
}

/// Returns the sections of `object` that hold instructions, in the file's order.
pub(crate) fn code(object: &[u8]) -> Result<Vec<Code>> {
    let header = FileHeader64::<Endianness>::parse(object).context("not a 64-bit ELF file")?;
    let endian = header.endian()?;
    anyhow::ensure!(header.e_machine(endian) == elf::EM_BPF, "not a BPF object");
    let sections = header.sections(endian, object)?;
    let mut code = Vec::new();
    for section in sections.iter() {
        let executable = section.sh_flags(endian) & u64::from(SHF_EXECINSTR) != 0;
        if executable && section.sh_size(endian) > 0 {
            let name = sections.section_name(endian, section)?;
            code.push(Code {
                section: String::from_utf8_lossy(name).into_owned(),
                instructions: section.sh_size(endian) / INSTRUCTION,
            });
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use object::write::Object;
    use object::{Architecture, BinaryFormat, SectionKind};

    use super::*;

    fn object_with(architecture: Architecture, sections: &[(&str, SectionKind, usize)]) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
        for (name, kind, size) in sections {
            let section = object.add_section(Vec::new(), name.as_bytes().to_vec(), *kind);
            object.append_section_data(section, &vec![0; *size], 8);
        }
        object.write().unwrap()
    }

    #[test]
    fn counts_slots_of_code_and_nothing_else() {
        let object = object_with(
            Architecture::Bpf,
            &[
                ("xdp", SectionKind::Text, 24),
                ("empty", SectionKind::Text, 0),
                ("maps", SectionKind::Data, 64),
                ("subprograms", SectionKind::Text, 16),
            ],
        );
        let expected = [("xdp", 3), ("subprograms", 2)]
            .map(|(section, instructions)| Code { section: section.to_owned(), instructions });
        assert_eq!(code(&object).unwrap(), expected);
    }

    #[test]
    fn rejects_what_is_no_bpf_object() {
        assert!(code(b"not an ELF file").is_err());
        let host = object_with(Architecture::X86_64, &[("text", SectionKind::Text, 8)]);
        assert!(code(&host).is_err());
    }
}
