// SPDX-License-Identifier: Apache-2.0
//! Verilates the core for each build, compiles the C++ and binds the shim.
//!
//! A compiled model takes minutes to make, so it is kept in `.tools/verilated` of the checkout under a hash of all that goes
//! into it, where every profile and target folder and clippy find it again, and so are the runtime and the shim; that folder
//! may be deleted at any time. Models of another RTL folder stay in `OUT_DIR`.
//!
//! Variables that it honours:
//! * `HASHGATE_VENV`: Python environment with the tools, instead of `.tools/venv` of the checkout.
//! * `HASHGATE_RTL`: folder instead of `hw/rtl`, for example with a bug put in on purpose.
//! * `HASHGATE_BUILDS`: builds of the core to compile in, `512`, `64`, `512,64` (the default) or `none`; a missing one is an error at run
//!   time. The binding table is always compiled in.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// How the RTL becomes C++.
const VERILATOR_FLAGS: &[&str] = &[
    "--cc",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "unique",
    "--assert",
    // Loops over the bits of an address too: a loop that is left is a bit at a time.
    "--unroll-count",
    "256",
    // Few large files: most of the time goes into reading the headers, once for each file.
    "--output-split",
    "40000",
    "--output-split-cfuncs",
    "1000",
    // Warnings are the lint's business (hw/lint); a mutated RTL may have some.
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-Wno-MULTIDRIVEN",
];

/// Sizes of the binding table that are compiled in beside the cores.
const TABLES: &[&str] = &["512", "65536"];

fn main() {
    let manifest = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(var("OUT_DIR"));
    let root = manifest.join("../..").canonicalize().expect("the crate lies in sim/verilated-sys of the checkout");
    let site = site_packages(&root);
    let other_rtl = watched("HASHGATE_RTL").map(PathBuf::from);
    let common = root.join(".tools/verilated");
    let cache = if other_rtl.is_some() { out.join("models") } else { common.clone() };
    let rtl = other_rtl.unwrap_or_else(|| root.join("hw/rtl"));
    let rtl = rtl.canonicalize().unwrap_or_else(|e| panic!("RTL folder {}: {e}", rtl.display()));
    let lint = root.join("hw/lint");
    for path in [
        &rtl,
        &lint,
        &manifest.join("shim.h"),
        &manifest.join("table.h"),
        &manifest.join("shim.cpp"),
        &manifest.join("print.h"),
    ] {
        println!("cargo::rerun-if-changed={}", path.display());
    }

    let own = ["build.rs", "print.h"].map(|name| manifest.join(name));
    let stamp = stamp(&[&files(&rtl)[..], &files(&lint), &own].concat(), &site);
    let builds = builds();
    for build in &builds {
        let folder = out.join(format!("verilated-{build}"));
        once(&folder, &stamp, || {
            cached(&cache.join(format!("{build}-{stamp}")), &folder, |made| {
                let top = ["--top-module", "hashgate_core", "--trace-fst"];
                verilate(&site, &rtl, &lint, build, &format!("Vhg{build}"), &top, made);
                compile_model(&site, &manifest, build, made);
            });
        });
        link(&folder, &format!("hashgate_{build}"));
        println!("cargo::rustc-cfg=hashgate_build_{build}");
    }
    // The table alone, in the hashes of its own sources only.
    let parts = [rtl.join("binding"), rtl.join("common"), rtl.join("config"), rtl.join("generated")]
        .iter()
        .flat_map(|part| files(part))
        .collect::<Vec<_>>();
    let table_stamp = self::stamp(&[&parts[..], &own].concat(), &site);
    for size in TABLES {
        let folder = out.join(format!("verilated-table{size}"));
        once(&folder, &table_stamp, || {
            cached(&cache.join(format!("table{size}-{table_stamp}")), &folder, |made| {
                let top = ["--top-module", "binding_table", &format!("-GSESSIONS={size}")];
                verilate(&site, &rtl, &lint, "512", &format!("Vtable{size}"), &top, made);
                compile_model(&site, &manifest, &format!("table{size}"), made);
            });
        });
        link(&folder, &format!("hashgate_table{size}"));
    }
    for build in ["512", "64"] {
        println!("cargo::rustc-check-cfg=cfg(hashgate_build_{build})");
    }
    let folder = out.join("runtime");
    let runtime = self::stamp(&own, &site);
    once(&folder, &runtime, || {
        cached(&common.join(format!("runtime-{runtime}")), &folder, |made| compile_runtime(&site, &manifest, made));
    });
    link(&folder, "hashgate_runtime");
    let folder = out.join("shim");
    let shim = stamp_of_shim(&manifest, &format!("{stamp} {table_stamp}"), &builds);
    once(&folder, &shim, || {
        let tables = TABLES.iter().map(|size| out.join(format!("verilated-table{size}")));
        let models: Vec<_> = builds.iter().map(|build| out.join(format!("verilated-{build}"))).chain(tables).collect();
        cached(&cache.join(format!("shim-{shim}")), &folder, |made| {
            compile_shim(&site, &manifest, &builds, &models, made);
            bind(&site, &manifest, made);
        });
    });
    fs::copy(folder.join("shim.rs"), out.join("shim.rs")).expect("OUT_DIR can be written");
    link(&folder, "hashgate_shim");
    for library in ["z", "lz4", "stdc++"] {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// An environment variable whose change runs the script again; `None` if unset or empty.
fn watched(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn builds() -> Vec<String> {
    let list = watched("HASHGATE_BUILDS").unwrap_or_else(|| "512,64".into());
    if list.trim() == "none" {
        return Vec::new();
    }
    let builds: Vec<String> = list.split(',').map(|build| build.trim().to_owned()).collect();
    for build in &builds {
        assert!(build == "512" || build == "64", "HASHGATE_BUILDS=\"{list}\": write 512, 64, 512,64 or none");
    }
    builds
}

/// The folder of Python packages with Verilator and libclang.
fn site_packages(root: &Path) -> PathBuf {
    let venv = watched("HASHGATE_VENV").map_or_else(|| root.join(".tools/venv"), PathBuf::from);
    let missing = |what: &str| -> ! {
        panic!("{what} is not in {}: run `make setup` in the checkout (or set HASHGATE_VENV)", venv.display())
    };
    let Ok(versions) = fs::read_dir(venv.join("lib")) else { missing("a Python environment") };
    let sites = versions.flatten().map(|version| version.path().join("site-packages"));
    let Some(site) = sites.into_iter().find(|site| site.join("verilator/bin/verilator_bin").exists()) else {
        missing("the Python package verilator")
    };
    if !site.join("clang/native/libclang.so").exists() {
        missing("the Python package libclang");
    }
    site
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("the path of the checkout is UTF-8")
}

/// All files below a folder, in a fixed order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Changes when the content of a source or the tools do; a changed time of a file alone does not.
fn stamp(sources: &[PathBuf], site: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    site.hash(&mut hasher);
    for variable in ["CXX", "CXXFLAGS"] {
        watched(variable).hash(&mut hasher);
    }
    for source in sources {
        source.file_name().hash(&mut hasher);
        fs::read(source).unwrap_or_else(|e| panic!("{}: {e}", source.display())).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn stamp_of_shim(manifest: &Path, stamp: &str, builds: &[String]) -> String {
    let mut hasher = DefaultHasher::new();
    (stamp, builds).hash(&mut hasher);
    for name in ["shim.h", "table.h", "shim.cpp"] {
        fs::read(manifest.join(name)).unwrap_or_else(|e| panic!("{name}: {e}")).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// Makes `folder` anew with `work` unless it was made completely under the same stamp.
fn once(folder: &Path, stamp: &str, work: impl FnOnce()) {
    let file = folder.join("stamp");
    if fs::read_to_string(&file).is_ok_and(|old| old == stamp) {
        return;
    }
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("OUT_DIR can be written");
    work();
    fs::write(file, stamp).expect("OUT_DIR can be written");
}

/// Copies libraries, headers and bindings from the cache to `folder`; makes them with `work` first if they are not there. If another
/// process is making the same, waits for it.
fn cached(entry: &Path, folder: &Path, work: impl FnOnce(&Path)) {
    let cache = entry.parent().expect("an entry lies in the cache");
    fs::create_dir_all(cache).unwrap_or_else(|e| panic!("{}: {e}", cache.display()));
    let lock = fs::File::create(entry.with_extension("lock")).and_then(|file| file.lock().map(|()| file));
    let lock = lock.unwrap_or_else(|e| panic!("{}: {e}", entry.with_extension("lock").display()));
    if !entry.exists() {
        forget_oldest(cache);
        let made = entry.with_extension("new");
        let _ = fs::remove_dir_all(&made);
        fs::create_dir_all(&made).expect("the cache can be written");
        work(&made);
        let kept = |file: &Path| file.extension().is_some_and(|e| e == "h" || e == "a" || e == "rs");
        for file in files(&made).iter().filter(|file| !kept(file)) {
            fs::remove_file(file).expect("the cache can be written");
        }
        fs::rename(&made, entry).expect("the cache can be written");
    }
    for file in &files(entry) {
        fs::copy(file, folder.join(file.file_name().expect("a file has a name"))).expect("OUT_DIR can be written");
    }
    drop(lock);
}

/// Keeps the cache from growing for ever.
fn forget_oldest(cache: &Path) {
    const KEPT: usize = 18;
    let mut entries: Vec<_> = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir() && entry.path().extension().is_none())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    entries.sort();
    let surplus = entries.len().saturating_sub(KEPT);
    for (_, path) in &entries[..surplus] {
        let _ = fs::remove_dir_all(path);
        let _ = fs::remove_file(path.with_extension("lock"));
    }
}

fn link(folder: &Path, library: &str) {
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static={library}");
}

fn verilate(site: &Path, rtl: &Path, lint: &Path, build: &str, prefix: &str, top: &[&str], folder: &Path) {
    let mut command = Command::new(site.join("verilator/bin/verilator_bin"));
    command.env("VERILATOR_ROOT", site.join("verilator")).current_dir(rtl).args(VERILATOR_FLAGS);
    command.args(top).args(["--prefix", prefix, "--Mdir"]).arg(folder);
    command.args(files(lint).iter().filter(|file| file.extension().is_some_and(|e| e == "vlt")));
    command.arg(format!("config/{build}/hashgate_cfg_pkg.sv")).args(["-f", "hashgate.f"]);
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "Verilator refused the {build}-bit build in {}:\n{}{}",
        rtl.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A compiler with everything that all C++ here is compiled with; optimised whatever the profile.
fn compiler(site: &Path, manifest: &Path, folder: &Path) -> cc::Build {
    let include = site.join("verilator/include");
    let mut compiler = cc::Build::new();
    compiler.cpp(true).std("c++17").opt_level(3).debug(false).warnings(false).cargo_metadata(false);
    compiler.out_dir(folder);
    // System folders: their warnings are not ours.
    compiler.flag("-isystem").flag(utf8(&include)).flag("-isystem").flag(utf8(&include.join("vltstd")));
    compiler.flag("-include").flag(utf8(&manifest.join("print.h")));
    compiler.define("VL_IGNORE_UNKNOWN_ARCH", None).define("VL_TIME_CONTEXT", None);
    for (name, value) in [
        ("VERILATOR", "1"),
        ("VM_COVERAGE", "0"),
        ("VM_SC", "0"),
        ("VM_TIMING", "0"),
        ("VM_TRACE", "1"),
        ("VM_TRACE_FST", "1"),
        ("VM_TRACE_VCD", "0"),
        ("VM_TRACE_SAIF", "0"),
        // vl_finish, vl_stop and vl_fatal are those of shim.cpp.
        ("VL_USER_FINISH", "1"),
        ("VL_USER_STOP", "1"),
        ("VL_USER_FATAL", "1"),
    ] {
        compiler.define(name, value);
    }
    compiler
}

/// What runs in every cycle is optimised; what runs once or only while a waveform is written compiles faster.
///
/// Reading the headers takes longer than most of the files, so small files go into one.
fn compile_model(site: &Path, manifest: &Path, build: &str, folder: &Path) {
    let sources = files(folder).into_iter().filter(|file| file.extension().is_some_and(|e| e == "cpp"));
    let named = |file: &Path, part: &str| file.file_name().is_some_and(|name| name.to_string_lossy().contains(part));
    let (trace, rest): (Vec<_>, Vec<_>) = sources.partition(|file| named(file, "__Trace"));
    let (slow, fast): (Vec<_>, Vec<_>) = rest.into_iter().partition(|file| named(file, "__Slow"));
    let (large, small): (Vec<_>, Vec<_>) =
        fast.into_iter().partition(|file| fs::metadata(file).is_ok_and(|data| data.len() > 100_000));
    let together = |name: &str, sources: &[PathBuf]| {
        let text: String = sources.iter().map(|file| format!("#include \"{}\"\n", utf8(file))).collect();
        let file = folder.join(name);
        fs::write(&file, text).expect("OUT_DIR can be written");
        file
    };
    let slow = [together("slow.cpp", &slow), together("trace.cpp", &trace)];
    let slow = compiler(site, manifest, folder).opt_level(0).files(slow).compile_intermediates();
    let small = together("small.cpp", &small);
    compiler(site, manifest, folder).files(large).file(small).objects(slow).compile(&format!("hashgate_{build}"));
}

fn compile_runtime(site: &Path, manifest: &Path, folder: &Path) {
    let mut compiler = compiler(site, manifest, folder);
    for name in ["verilated.cpp", "verilated_threads.cpp", "verilated_random.cpp", "verilated_fst_c.cpp"] {
        compiler.file(site.join("verilator/include").join(name));
    }
    compiler.compile("hashgate_runtime");
}

fn compile_shim(site: &Path, manifest: &Path, builds: &[String], models: &[PathBuf], folder: &Path) {
    let mut compiler = compiler(site, manifest, folder);
    compiler.warnings(true).include(manifest).file(manifest.join("shim.cpp"));
    for build in ["512", "64"] {
        let compiled_in = builds.iter().any(|b| b == build);
        compiler.define(&format!("HG_BUILD_{build}"), if compiled_in { "1" } else { "0" });
    }
    for model in models {
        compiler.include(model);
    }
    compiler.compile("hashgate_shim");
}

fn bind(site: &Path, manifest: &Path, folder: &Path) {
    if watched("LIBCLANG_PATH").is_none() {
        // SAFETY: this program has one thread until bindgen is called, and bindgen loads the library itself.
        unsafe { env::set_var("LIBCLANG_PATH", site.join("clang/native")) };
    }
    let bindings = bindgen::builder()
        .header(utf8(&manifest.join("shim.h")))
        .header(utf8(&manifest.join("table.h")))
        .allowlist_item("hgt?_.*|HGT?_.*")
        .derive_default(true)
        .generate()
        .expect("shim.h binds");
    bindings.write_to_file(folder.join("shim.rs")).expect("OUT_DIR can be written");
}
