// SPDX-License-Identifier: Apache-2.0
//! Verilates the core for each build, compiles the C++ and binds the shim.
//!
//! Variables that it honours:
//! * `HASHGATE_VENV`: Python environment with the tools, instead of `.tools/venv` of the checkout.
//! * `HASHGATE_RTL`: folder instead of `hw/rtl`, for example with a bug put in on purpose.
//! * `HASHGATE_BUILDS`: builds to compile in, `512`, `64` or `512,64` (the default); a missing one is an error at run time.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Part of the stamp: what is done with the sources. Verilator's own version is in the path of the environment.
const VERILATOR_FLAGS: &[&str] = &[
    "--cc",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "unique",
    "--assert",
    "--trace-fst",
    "--output-split",
    "20000",
    // Warnings are the lint's business (hw/lint); a mutated RTL may have some.
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-Wno-MULTIDRIVEN",
    "--top-module",
    "hashgate_core",
];

fn main() {
    let manifest = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(var("OUT_DIR"));
    let root = manifest.join("../..").canonicalize().expect("the crate lies in sim/verilated-sys of the checkout");
    let site = site_packages(&root);
    let rtl = watched("HASHGATE_RTL").map_or_else(|| root.join("hw/rtl"), PathBuf::from);
    let rtl = rtl.canonicalize().unwrap_or_else(|e| panic!("RTL folder {}: {e}", rtl.display()));
    let lint = root.join("hw/lint");
    for path in [&rtl, &lint, &manifest.join("shim.h"), &manifest.join("shim.cpp"), &manifest.join("print.h")] {
        println!("cargo::rerun-if-changed={}", path.display());
    }

    let shim = ["shim.h", "shim.cpp", "print.h", "build.rs"].map(|name| manifest.join(name));
    let mut sources = files(&rtl);
    sources.extend(files(&lint));
    sources.extend(shim);
    let stamp = stamp(&sources, &site);

    let builds = builds();
    for build in &builds {
        let folder = out.join(format!("verilated-{build}"));
        once(&folder, &stamp, || {
            verilate(&site, &rtl, &lint, build, &folder);
            compile_model(&site, &manifest, build, &folder);
        });
        link(&folder, &format!("hashgate_{build}"));
        println!("cargo::rustc-cfg=hashgate_build_{build}");
    }
    for build in ["512", "64"] {
        println!("cargo::rustc-check-cfg=cfg(hashgate_build_{build})");
    }
    // The shim comes first in the link order, the models it needs after it, then the runtime they need.
    let folder = out.join("shim");
    once(&folder, &format!("{stamp} {builds:?}"), || {
        compile_runtime(&site, &manifest, &folder);
        compile_shim(&site, &manifest, &out, &builds, &folder);
        bind(&site, &manifest, &folder);
    });
    fs::copy(folder.join("shim.rs"), out.join("shim.rs")).expect("OUT_DIR can be written");
    link(&folder, "hashgate_shim");
    link(&folder, "hashgate_runtime");
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
    let builds: Vec<String> = list.split(',').map(|build| build.trim().to_owned()).collect();
    for build in &builds {
        assert!(build == "512" || build == "64", "HASHGATE_BUILDS=\"{list}\": write 512, 64 or 512,64");
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

/// Changes when a source or the way of compiling it does; a changed time of a file alone compiles nothing.
fn stamp(sources: &[PathBuf], site: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    site.hash(&mut hasher);
    for variable in ["CXX", "CXXFLAGS"] {
        watched(variable).hash(&mut hasher);
    }
    for source in sources {
        source.hash(&mut hasher);
        fs::read(source).unwrap_or_else(|e| panic!("{}: {e}", source.display())).hash(&mut hasher);
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

fn link(folder: &Path, library: &str) {
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static={library}");
}

fn verilate(site: &Path, rtl: &Path, lint: &Path, build: &str, folder: &Path) {
    let mut command = Command::new(site.join("verilator/bin/verilator_bin"));
    command.env("VERILATOR_ROOT", site.join("verilator")).current_dir(rtl).args(VERILATOR_FLAGS);
    command.args(["--prefix", &format!("Vhg{build}"), "--Mdir"]).arg(folder);
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

fn compile_model(site: &Path, manifest: &Path, build: &str, folder: &Path) {
    let mut compiler = compiler(site, manifest, folder);
    compiler.files(files(folder).iter().filter(|file| file.extension().is_some_and(|e| e == "cpp")));
    compiler.compile(&format!("hashgate_{build}"));
}

fn compile_runtime(site: &Path, manifest: &Path, folder: &Path) {
    let mut compiler = compiler(site, manifest, folder);
    for name in ["verilated.cpp", "verilated_threads.cpp", "verilated_random.cpp", "verilated_fst_c.cpp"] {
        compiler.file(site.join("verilator/include").join(name));
    }
    compiler.compile("hashgate_runtime");
}

fn compile_shim(site: &Path, manifest: &Path, out: &Path, builds: &[String], folder: &Path) {
    let mut compiler = compiler(site, manifest, folder);
    compiler.warnings(true).include(manifest).file(manifest.join("shim.cpp"));
    for build in ["512", "64"] {
        let compiled_in = builds.iter().any(|b| b == build);
        compiler.define(&format!("HG_BUILD_{build}"), if compiled_in { "1" } else { "0" });
        if compiled_in {
            compiler.include(out.join(format!("verilated-{build}")));
        }
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
        .allowlist_item("hg_.*|HG_.*")
        .derive_default(true)
        .generate()
        .expect("shim.h binds");
    bindings.write_to_file(folder.join("shim.rs")).expect("OUT_DIR can be written");
}
