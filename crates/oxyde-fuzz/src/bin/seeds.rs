//! `seeds FOLDER`: writes for each target the folder of its seeds and its dictionary, as libFuzzer takes them, and
//! prints the targets' names.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

use oxyde_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let Some(folder) = env::args_os().nth(1) else {
        return Err(io::Error::other("usage: seeds FOLDER"));
    };
    for target in TARGETS {
        let home = Path::new(&folder).join(target.name);
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        fs::create_dir_all(&home)?;
        for (n, seed) in (target.seeds)().iter().enumerate() {
            fs::write(home.join(format!("{n:04}")), seed)?;
        }
        fs::write(home.with_extension("dict"), dictionary(&(target.words)()))?;
        println!("{}", target.name);
    }
    Ok(())
}

fn dictionary(words: &[Vec<u8>]) -> String {
    let mut out = String::new();
    for word in words.iter().filter(|word| !word.is_empty()) {
        out.push('"');
        for byte in word {
            let _ = write!(out, "\\x{byte:02x}");
        }
        out.push_str("\"\n");
    }
    out
}
