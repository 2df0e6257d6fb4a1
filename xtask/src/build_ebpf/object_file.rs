//! A BPF object: the instructions in it, and what of it is not loaded.

use anyhow::{Context, Result};
use object::build::elf::{Builder, SectionData};
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
        let executable = section.sh_flags(endian).contains(SHF_EXECINSTR);
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

/// The object without DWARF. Loaders and the kernel read types and lines from `.BTF` and `.BTF.ext`, which LLVM
/// derives from the same information, and which stay.
pub(crate) fn without_dwarf(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.strip_prefix(b".rel").unwrap_or(name).starts_with(b".debug_");
    }
    // LLVM writes names of sections and of symbols into one table, the builder two.
    let is_of_names = |data: &SectionData<'_>| matches!(data, SectionData::SectionString);
    if !builder.sections.iter().any(|section| is_of_names(&section.data)) {
        let names = builder.sections.add();
        names.name = ".shstrtab".into();
        names.sh_type = elf::SHT_STRTAB;
        names.data = SectionData::SectionString;
    }
    let mut kept = Vec::new();
    builder.write(&mut kept)?;
    Ok(kept)
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
    fn dwarf_is_taken_away_and_nothing_else() {
        let kept = [
            ("xdp", SectionKind::Text, 24),
            (".BTF", SectionKind::Other, 8),
            (".BTF.ext", SectionKind::Other, 8),
        ];
        let dwarf =
            [(".debug_info", SectionKind::Debug, 64), (".rel.debug_info", SectionKind::Other, 16)];
        let object =
            object_with(Architecture::Bpf, &[&dwarf[..1], &kept[..], &dwarf[1..]].concat());
        let stripped = without_dwarf(&object).unwrap();
        assert_eq!(code(&stripped).unwrap(), code(&object).unwrap());
        let builder = Builder::read(&*stripped).unwrap();
        let names: Vec<_> =
            builder.sections.iter().map(|section| section.name.to_string()).collect();
        let has = |name: &&str| names.iter().any(|found| found == name);
        assert!(kept.iter().all(|(name, ..)| has(name)), "{names:?}");
        assert!(!dwarf.iter().any(|(name, ..)| has(name)), "{names:?}");
    }

    #[test]
    fn rejects_what_is_no_bpf_object() {
        assert!(code(b"not an ELF file").is_err());
        let host = object_with(Architecture::X86_64, &[("text", SectionKind::Text, 8)]);
        assert!(code(&host).is_err());
    }
}
