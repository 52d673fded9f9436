// SPDX-License-Identifier: Apache-2.0
//! Reads a trace: a folder with a list of nodes (`*_node_list_*.csv`) and lists of pods (`*_pod_list_*.csv`).
//!
//! ```text
//! nodes: sn,cpu_milli,memory_mib,gpu[,model]
//! pods:  name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time[,gpu_spec][,...]
//! ```
//!
//! Columns are found by their names, in any order; others are not read. Times are seconds.

use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{
    Labels, NodeSelector, NodeSelectorTerm, Operator, Requirement,
};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::requests::{Requests, Resources};
use csv::StringRecord;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A node's GPUs together, in thousandths of one.
pub const GPU: &str = "berth.dev/gpu-milli";
/// The label that tells the model of a node's GPUs.
pub const MODEL: &str = "berth.dev/gpu-model";
/// Pods that a node takes: more than any node of such a trace ever has.
const PODS: i64 = 1_001;
/// Thousandths in one GPU.
const GPU_MILLI: i64 = 1_000;
const MIB: i64 = 1 << 20;
/// The largest amount in a list: far beyond any machine, and small enough that sums and units stay exact.
const AMOUNT_MAX: i64 = 1 << 32;
/// The list of pods that is taken unless another one is named.
const PODS_FILE: &str = "openb_pod_list_default.csv";

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The folder cannot be listed.
    #[error("cannot list the folder {}: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no list of nodes, or more than one.
    #[error(
        "{} has {found} files whose names hold \"node_list\" and end with .csv; a trace has one",
        .folder.display()
    )]
    NodeLists {
        /// The folder.
        folder: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// The list of pods is not there.
    #[error("{} has no {file}; --pods-file NAME takes another one: {there}", .folder.display())]
    NoPods {
        /// The folder.
        folder: PathBuf,
        /// The file that is not there.
        file: String,
        /// Lists of pods that are there.
        there: String,
    },
    /// A file cannot be read, or is no CSV.
    #[error("{}: {source}", .file.display())]
    Csv {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        #[source]
        source: csv::Error,
    },
    /// A column is missing.
    #[error(
        "{}: there is no column {column}; the first line has {there}{hint}", .file.display()
    )]
    Column {
        /// The file.
        file: PathBuf,
        /// The column.
        column: &'static str,
        /// The columns that are there.
        there: String,
        /// What to do.
        hint: &'static str,
    },
    /// A value cannot be used.
    #[error("{}:{line}: {column} is {value:?}, {problem}", .file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A list has no entries.
    #[error("{} has no entries", .file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
}

/// A trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The name of the list of pods, without its end.
    pub name: String,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The pods, in the order of the list.
    pub pods: Vec<TracePod>,
}

/// A pod of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePod {
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub spec: PodSpec,
    /// When it came, in seconds.
    pub created: u64,
    /// When it went.
    pub deleted: u64,
}

impl Trace {
    /// Keeps so many of the nodes, evenly chosen, so that the mix of machines stays.
    pub fn keep_nodes(&mut self, keep: usize) {
        let all = self.nodes.len();
        if keep < all {
            let nodes = (0..keep).map(|i| self.nodes[i * all / keep].clone()).collect();
            self.nodes = nodes;
        }
    }
}

/// Reads a folder; `pods_file` names the list of pods in it.
pub fn folder(folder: &Path, pods_file: Option<&str>) -> Result<Trace, TraceError> {
    let lists = |part: &str| -> Result<Vec<PathBuf>, TraceError> {
        let failed = |source| TraceError::Folder { folder: folder.to_owned(), source };
        let mut lists = Vec::new();
        for entry in folder.read_dir().map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_csv = path.extension().is_some_and(|end| end == "csv");
            if name.contains(part) && is_csv {
                lists.push(path);
            }
        }
        lists.sort();
        Ok(lists)
    };
    let node_lists = lists("node_list")?;
    let [node_list] = &node_lists[..] else {
        return Err(TraceError::NodeLists { folder: folder.to_owned(), found: node_lists.len() });
    };
    let pods_file = pods_file.unwrap_or(PODS_FILE);
    let pod_list = folder.join(pods_file);
    if !pod_list.is_file() {
        let names = lists("pod_list")?;
        let names = names.iter().filter_map(|path| path.file_name()?.to_str());
        let there = names.collect::<Vec<_>>().join(", ");
        let file = pods_file.to_owned();
        return Err(TraceError::NoPods { folder: folder.to_owned(), file, there });
    }
    let name = pod_list.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    Ok(Trace { name, nodes: nodes(node_list)?, pods: pods(&pod_list)? })
}

fn nodes(file: &Path) -> Result<Vec<Node>, TraceError> {
    let mut table = Table::open(file)?;
    let [sn, cpu, memory, gpu] = [
        table.column("sn", "")?,
        table.column("cpu_milli", "")?,
        table.column("memory_mib", "")?,
        table.column("gpu", "")?,
    ];
    let model = table.find("model");
    let mut names = BTreeSet::new();
    let mut nodes = Vec::new();
    while let Some(row) = table.next()? {
        let mut node = Node::new(row.name(sn, &mut names)?);
        node.pods = PODS;
        node.allocatable = Resources {
            cpu: row.amount(cpu)?,
            memory: row.amount(memory)? * MIB,
            ephemeral: 0,
            scalars: gpu_amount(row.amount(gpu)? * GPU_MILLI),
        };
        let text = model.map(|model| row.text(model)).filter(|text| !text.is_empty());
        node.labels = text.map(|text| (Str::from(MODEL), Str::from(text))).into_iter().collect();
        nodes.push(node);
    }
    table.not_empty(nodes)
}

fn pods(file: &Path) -> Result<Vec<TracePod>, TraceError> {
    const HINT: &str = "; a list without times cannot be replayed by time, take another one with \
                        --pods-file";
    let mut table = Table::open(file)?;
    let [name, cpu, memory, num_gpu, gpu_milli] = [
        table.column("name", "")?,
        table.column("cpu_milli", "")?,
        table.column("memory_mib", "")?,
        table.column("num_gpu", "")?,
        table.column("gpu_milli", "")?,
    ];
    let created = table.column("creation_time", HINT)?;
    let deleted = table.column("deletion_time", HINT)?;
    let models = table.find("gpu_spec");
    let mut names = BTreeSet::new();
    let mut pods = Vec::new();
    while let Some(row) = table.next()? {
        let gpu = row.amount(num_gpu)? * row.amount(gpu_milli)?;
        let amounts = Resources {
            cpu: row.amount(cpu)?,
            memory: row.amount(memory)? * MIB,
            ephemeral: 0,
            scalars: gpu_amount(gpu),
        };
        let created = row.time(created)?;
        pods.push(TracePod {
            name: row.name(name, &mut names)?.to_owned(),
            spec: spec(amounts, models.map(|models| row.text(models)).unwrap_or_default()),
            created,
            // A pod that went before it came, by the clocks of its time, goes at once.
            deleted: row.time(deleted)?.max(created),
        });
    }
    table.not_empty(pods)
}

fn gpu_amount(milli: i64) -> Vec<(Str, i64)> {
    if milli > 0 { vec![(Str::from(GPU), milli)] } else { Vec::new() }
}

/// `models` are the ones it may run on, separated by `|`; empty: any.
fn spec(amounts: Resources, models: &str) -> PodSpec {
    let (cpu, memory) = (amounts.cpu, amounts.memory);
    let allowed = NodeSelectorTerm {
        expressions: vec![Requirement {
            key: Str::from(MODEL),
            operator: Operator::In,
            values: models.split('|').map(Str::from).collect(),
        }],
        fields: Vec::new(),
    };
    PodSpec {
        labels: Labels::new(vec![(Str::from("app"), Str::from("trace"))]),
        requests: Requests {
            plain: amounts,
            non_zero_cpu: cpu,
            non_zero_memory: memory,
            usage_cpu: cpu,
            usage_memory: memory,
        },
        node_required: (!models.is_empty()).then(|| NodeSelector { terms: vec![allowed] }),
        containers: 1,
        ..PodSpec::default()
    }
}

/// A file of lines under named columns.
struct Table {
    file: PathBuf,
    reader: csv::Reader<std::fs::File>,
    head: StringRecord,
    record: StringRecord,
}

/// A column: its place and its name.
#[derive(Clone, Copy)]
struct Column(usize, &'static str);

impl Table {
    fn open(file: &Path) -> Result<Self, TraceError> {
        let failed = |source| TraceError::Csv { file: file.to_owned(), source };
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.trim(csv::Trim::All).from_path(file).map_err(failed)?;
        let head = reader.headers().map_err(failed)?.clone();
        Ok(Self { file: file.to_owned(), reader, head, record: StringRecord::new() })
    }

    fn find(&self, column: &'static str) -> Option<Column> {
        self.head.iter().position(|name| name == column).map(|at| Column(at, column))
    }

    fn column(&self, column: &'static str, hint: &'static str) -> Result<Column, TraceError> {
        self.find(column).ok_or_else(|| TraceError::Column {
            file: self.file.clone(),
            column,
            there: self.head.iter().collect::<Vec<_>>().join(","),
            hint,
        })
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, TraceError> {
        let read = self.reader.read_record(&mut self.record);
        let more = read.map_err(|source| TraceError::Csv { file: self.file.clone(), source })?;
        Ok(more.then(|| Row { file: &self.file, record: &self.record }))
    }

    fn not_empty<T>(self, entries: Vec<T>) -> Result<Vec<T>, TraceError> {
        if entries.is_empty() { Err(TraceError::Empty { file: self.file }) } else { Ok(entries) }
    }
}

/// A line.
struct Row<'a> {
    file: &'a Path,
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    fn text(&self, column: Column) -> &'a str {
        self.record.get(column.0).unwrap_or_default()
    }

    fn wrong(&self, column: Column, problem: impl Into<String>) -> TraceError {
        TraceError::Value {
            file: self.file.to_owned(),
            line: self.record.position().map_or(0, csv::Position::line),
            column: column.1,
            value: self.text(column).to_owned(),
            problem: problem.into(),
        }
    }

    fn amount(&self, column: Column) -> Result<i64, TraceError> {
        match self.text(column).parse::<i64>() {
            Ok(amount @ 0..=AMOUNT_MAX) => Ok(amount),
            Ok(_) => Err(self.wrong(column, format!("not between 0 and {AMOUNT_MAX}"))),
            Err(_) => Err(self.wrong(column, "not a whole number")),
        }
    }

    fn time(&self, column: Column) -> Result<u64, TraceError> {
        let seconds = self.text(column).parse::<u32>().map(u64::from);
        seconds.map_err(|_| self.wrong(column, "not a time in whole seconds"))
    }

    fn name(&self, column: Column, known: &mut BTreeSet<String>) -> Result<&'a str, TraceError> {
        let name = self.text(column);
        if name.is_empty() {
            return Err(self.wrong(column, "and every entry needs a name"));
        }
        if !known.insert(name.to_owned()) {
            return Err(self.wrong(column, "and an entry above has that name too"));
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\n\
                         n0,64000,262144,2,P100\n\
                         n1,96000,524288,0,\n";
    const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,creation_time,\
                        deletion_time\n\
                        p0,4000,1024,1,460,,LS,10,30\n\
                        p1,8000,2048,2,1000,P100|T4,LS,5,20\n";

    fn read(nodes: &str, pods: &str) -> Result<Trace, TraceError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x_node_list_y.csv"), nodes).unwrap();
        fs::write(folder.path().join(PODS_FILE), pods).unwrap();
        super::folder(folder.path(), None)
    }

    fn wrong(nodes: &str, pods: &str) -> String {
        let text = read(nodes, pods).unwrap_err().to_string();
        text.rsplit_once('/').map_or(text.clone(), |(_, end)| end.to_owned())
    }

    #[test]
    fn a_folder_is_read() {
        let trace = read(NODES, PODS).unwrap();
        assert_eq!(trace.name, "openb_pod_list_default");
        let [gpus, plain] = &trace.nodes[..] else { unreachable!("two nodes") };
        assert_eq!((gpus.allocatable.cpu, gpus.allocatable.memory), (64_000, 262_144 << 20));
        assert_eq!((gpus.allocatable.scalar(GPU), plain.allocatable.scalar(GPU)), (2_000, 0));
        assert_eq!((gpus.labels.get(MODEL).map(|m| &**m), plain.labels.len()), (Some("P100"), 0));
        let [share, pair] = &trace.pods[..] else { unreachable!("two pods") };
        assert_eq!(share.spec.requests.plain.scalar(GPU), 460);
        assert_eq!(pair.spec.requests.plain.scalar(GPU), 2_000);
        assert_eq!((pair.created, pair.deleted), (5, 20));
        let allowed = pair.spec.node_required.as_ref().unwrap();
        assert_eq!(allowed.terms[0].expressions[0].values.len(), 2);
        assert_eq!(share.spec.node_required, None);
    }

    #[test]
    fn columns_may_stand_anywhere() {
        let pods = "deletion_time,creation_time,gpu_milli,num_gpu,memory_mib,cpu_milli,name\n\
                    7,3,0,0,1,2,p\n";
        let pod = &read(NODES, pods).unwrap().pods[0];
        assert_eq!((pod.created, pod.deleted, pod.spec.requests.plain.cpu), (3, 7, 2));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let file = PODS_FILE;
        let bad = |from: &str, to: &str| wrong(NODES, &PODS.replace(from, to));
        assert_eq!(
            bad("4000", "4e3"),
            format!("{file}:2: cpu_milli is \"4e3\", not a whole number")
        );
        let negative = format!("{file}:3: memory_mib is \"-1\", not between 0 and 4294967296");
        assert_eq!(bad("2048", "-1"), negative);
        let time = format!("{file}:3: creation_time is \"\", not a time in whole seconds");
        assert_eq!(bad("LS,5,", "LS,,"), time);
        let twice = format!("{file}:3: name is \"p0\", and an entry above has that name too");
        assert_eq!(bad("p1", "p0"), twice);
        assert!(bad("p1,", "").contains("line: 3"), "{}", bad("p1,", ""));
        let column = bad("creation_time", "start");
        assert!(
            column.starts_with(&format!("{file}: there is no column creation_time")),
            "{column}"
        );
        assert!(column.contains("--pods-file"), "{column}");
        assert_eq!(
            wrong(&NODES.replace("96000", ""), PODS),
            "x_node_list_y.csv:3: cpu_milli is \"\", not a whole number"
        );
        let only_head = NODES.lines().next().unwrap();
        assert_eq!(wrong(only_head, PODS), "x_node_list_y.csv has no entries");
    }

    #[test]
    fn a_folder_that_is_no_trace_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        let text = folder(empty.path(), None).unwrap_err().to_string();
        assert!(text.contains("0 files whose names hold \"node_list\""), "{text}");
        fs::write(empty.path().join("a_node_list.csv"), NODES).unwrap();
        fs::write(empty.path().join("a_pod_list.csv"), PODS).unwrap();
        let text = folder(empty.path(), None).unwrap_err().to_string();
        assert!(text.contains("--pods-file NAME takes another one: a_pod_list.csv"), "{text}");
        assert!(folder(empty.path(), Some("a_pod_list.csv")).is_ok());
        assert!(folder(&empty.path().join("nowhere"), None).is_err());
    }

    #[test]
    fn some_of_the_nodes_are_kept_evenly() {
        let mut trace = read(NODES, PODS).unwrap();
        trace.nodes = (0..10).map(|i| Node::new(&format!("n{i}"))).collect();
        trace.keep_nodes(3);
        let names: Vec<&str> = trace.nodes.iter().map(|node| &*node.name).collect();
        assert_eq!(names, ["n0", "n3", "n6"]);
        trace.keep_nodes(100);
        assert_eq!(trace.nodes.len(), 3);
    }
}
