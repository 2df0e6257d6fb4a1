//! How much of the BPF stack the calls of a program take. Kernels allow all functions that are called at a time 512 bytes,
//! and round what each takes up: those before 6.8 to 32 bytes, later ones to 16 (`check_max_stack_depth` in
//! kernel/bpf/verifier.c). So a program that one kernel loads may be too much for another. Functions that helpers call
//! back, as those of a sweep, are not followed.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result, ensure};
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};

/// What kernels allow.
const LIMIT: u64 = 512;
/// What the part of each function is rounded up to.
const STEP: u64 = 32;
/// The register that points at the end of a function's part of the stack.
const FRAME: u8 = 10;

/// Where a function is: section and offset.
type Place = (usize, u64);

struct Function {
    name: String,
    bytes: u64,
    calls: BTreeSet<Place>,
}

/// Functions that call each other, outermost first, and what they take together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    names: Vec<String>,
    bytes: u64,
}

/// Checks that every program of an object fits.
///
/// # Errors
/// Names the functions that take too much.
pub(crate) fn check(object: &[u8]) -> Result<()> {
    let functions = functions(object)?;
    for place in functions.keys() {
        let Chain { names, bytes } = deepest(&functions, *place, &Chain::default())?;
        ensure!(
            bytes <= LIMIT,
            "the functions {} take {bytes} bytes of the BPF stack, each rounded up to {STEP}; kernels before 6.8 allow \
             {LIMIT}: let one of them keep less",
            names.join(" > ")
        );
    }
    Ok(())
}

/// The chain that takes the most, from this function on.
fn deepest(functions: &HashMap<Place, Function>, place: Place, outer: &Chain) -> Result<Chain> {
    let function = functions.get(&place).context("a call that is to no function")?;
    let called = format!("{} ({})", function.name, function.bytes);
    ensure!(!outer.names.contains(&called), "{} calls itself", function.name);
    let mut chain = outer.clone();
    chain.names.push(called);
    chain.bytes += function.bytes.max(1).next_multiple_of(STEP);
    let inner = function.calls.iter().map(|place| deepest(functions, *place, &chain));
    let inner = inner.collect::<Result<Vec<_>>>()?;
    Ok(inner.into_iter().max_by_key(|chain| chain.bytes).unwrap_or(chain))
}

fn functions(object: &[u8]) -> Result<HashMap<Place, Function>> {
    let file = ElfFile64::<object::Endianness>::parse(object).context("not a 64-bit ELF file")?;
    let mut found = HashMap::new();
    for symbol in file.symbols().filter(|one| one.kind() == SymbolKind::Text && one.size() > 0) {
        let index = symbol.section_index().context("a function without a section")?;
        let section = file.section_by_index(index)?;
        let (first, size) = (usize::try_from(symbol.address())?, usize::try_from(symbol.size())?);
        let code = section.data()?.get(first..).and_then(|code| code.get(..size));
        let code = code.with_context(|| format!("{:?} is cut off", symbol.name()))?;
        let mut calls = BTreeSet::new();
        let relocations: HashMap<u64, _> = section.relocations().collect();
        for (at, [opcode, registers, _, _, rest @ ..]) in instructions(code) {
            const CALL: u8 = 0x85;
            const OF_A_FUNCTION: u8 = 1;
            if opcode != CALL || registers >> 4 != OF_A_FUNCTION {
                continue;
            }
            let at = symbol.address() + at;
            let away = i64::from(i32::from_le_bytes(rest)) * 8 + 8;
            let place = match relocations.get(&at).map(|relocation| relocation.target()) {
                Some(RelocationTarget::Symbol(target)) => {
                    let target = file.symbol_by_index(target)?;
                    let index = target.section_index().context("a call of nothing")?;
                    let within = if target.kind() == SymbolKind::Section { away } else { 0 };
                    (index.0, target.address().wrapping_add_signed(within))
                }
                _ => (index.0, at.wrapping_add_signed(away)),
            };
            calls.insert(place);
        }
        let name = symbol.name()?.to_owned();
        let function = Function { name, bytes: stack_of(code), calls };
        found.insert((index.0, symbol.address()), function);
    }
    Ok(found)
}

/// Each instruction, and where it is.
fn instructions(code: &[u8]) -> impl Iterator<Item = (u64, [u8; 8])> {
    let (all, _) = code.as_chunks::<8>();
    all.iter().enumerate().map(|(index, one)| (8 * index as u64, *one))
}

/// How far below the end of its part a function reads and writes, or points.
fn stack_of(code: &[u8]) -> u64 {
    const LOAD: u8 = 1;
    const STORES: [u8; 2] = [2, 3];
    const COPY: u8 = 0xbf;
    const ADD: u8 = 0x07;
    let mut lowest = 0;
    let mut pointers: HashMap<u8, i64> = HashMap::new();
    for (_, [opcode, registers, low, high, rest @ ..]) in instructions(code) {
        let (to, from) = (registers & 15, registers >> 4);
        let offset = i64::from(i16::from_le_bytes([low, high]));
        let class = opcode & 7;
        if class == LOAD && from == FRAME || STORES.contains(&class) && to == FRAME {
            lowest = lowest.min(offset);
        }
        match (opcode, pointers.get_mut(&to)) {
            (COPY, _) if from == FRAME => {
                pointers.insert(to, 0);
            }
            (ADD, Some(pointer)) => {
                *pointer += i64::from(i32::from_le_bytes(rest));
                lowest = lowest.min(*pointer);
            }
            (COPY, _) => {
                pointers.remove(&to);
            }
            _ => {}
        }
    }
    lowest.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use object::write::{Object, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

    use super::*;

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    /// Writes so far below the end.
    fn store(below: i16) -> [u8; 8] {
        let [low, high] = (-below).to_le_bytes();
        [0x7b, 0x1a, low, high, 0, 0, 0, 0]
    }

    /// Calls what is so many instructions away from the next.
    fn call(away: i32) -> [u8; 8] {
        let [a, b, c, d] = away.to_le_bytes();
        [0x85, 0x10, 0, 0, a, b, c, d]
    }

    fn object_with(functions: &[(&str, &[[u8; 8]])]) -> Vec<u8> {
        let mut object =
            Object::new(BinaryFormat::Elf, Architecture::Bpf, object::Endianness::Little);
        let section = object.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
        for (name, code) in functions {
            let value = object.append_section_data(section, code.as_flattened(), 8);
            object.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value,
                size: 8 * code.len() as u64,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
        object.write().unwrap()
    }

    #[test]
    fn each_part_is_rounded_up() {
        let outer = |below| [store(below), call(1), EXIT];
        let fits = object_with(&[("outer", &outer(480)), ("inner", &[store(8), EXIT])]);
        check(&fits).unwrap();
        let exceeds = object_with(&[("outer", &outer(488)), ("inner", &[store(8), EXIT])]);
        let said = check(&exceeds).unwrap_err().to_string();
        assert!(said.contains("outer (488) > inner (8) take 544 bytes"), "{said}");
    }

    #[test]
    fn what_is_only_pointed_at_counts() {
        const COPY: [u8; 8] = [0xbf, 0xa2, 0, 0, 0, 0, 0, 0];
        const ADD: [u8; 8] = [0x07, 0x02, 0, 0, 0xd8, 0xff, 0xff, 0xff];
        assert_eq!(stack_of([COPY, ADD, EXIT].as_flattened()), 40);
        assert_eq!(stack_of([COPY, store(16), EXIT].as_flattened()), 16);
    }

    #[test]
    fn a_circle_of_calls_is_refused() {
        let circle = object_with(&[("one", &[call(-1), EXIT])]);
        assert!(check(&circle).unwrap_err().to_string().contains("calls itself"));
    }
}
