// SPDX-License-Identifier: Apache-2.0
//! Runs the steps of one case, in a namespace of its own.

use crate::api::{Cluster, Reply, path, place, shell, until, version};
use crate::case::{Case, filled};
use crate::expect::{Text, at, judge, put};
use crate::step::{
    Call, Delete, Exec, Keep, Kubectl, Log, Look, Patch, Shell, Step, Then, Update, pod, whole,
};
use crate::{IMAGE, own};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Output;
use std::time::{Duration, Instant};

/// How long a step may wait, where it does not say so.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is wrong, or nothing.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// A case that runs.
pub(crate) struct Run<'a> {
    pub(crate) cluster: &'a Cluster<'a>,
    case: &'a Case,
    pub(crate) namespace: String,
    pub(crate) with: BTreeMap<String, Value>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(cluster: &'a Cluster<'a>, case: &'a Case, namespace: String) -> Self {
        let mut with = case.with.clone();
        with.insert("ns".to_owned(), json!(namespace));
        with.insert("node".to_owned(), json!(cluster.node()));
        with.insert("node-ip".to_owned(), json!(cluster.address));
        with.insert("image".to_owned(), json!(IMAGE));
        Self { cluster, case, namespace, with }
    }

    /// All its steps.
    pub(crate) fn all(&mut self) -> Outcome {
        self.begin()?;
        for (number, step) in self.case.steps.iter().enumerate() {
            // Parameters may stand in parameters.
            let step = filled(&filled(step, &self.with), &self.with);
            let wrong = |wrong| format!("step {} {step}:\n{wrong}", number + 1);
            let read = serde_json::from_value::<Step>(step.clone());
            let read = read.map_err(|error| wrong(error.to_string()))?;
            self.step(read).map_err(wrong)?;
        }
        match &self.case.function {
            Some(name) => own::run(name, self),
            None => Ok(()),
        }
    }

    /// Its namespace, with the account that pods need.
    fn begin(&self) -> Outcome {
        self.namespace_named(&self.namespace)
    }

    pub(crate) fn namespace_named(&self, name: &str) -> Outcome {
        let object = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        self.call("POST", "/api/v1/namespaces", Some(&object)).code(201)?;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        until(PATIENCE, || self.call("GET", &account, None).code(200).map(drop))
    }

    pub(crate) fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Create(Value::Array(all)) => all.iter().try_for_each(|one| self.create(one)),
            Step::Create(one) => self.create(&one),
            Step::Pod(short) => self.pod(&short),
            Step::Until(look) => until(patience(look.within), || self.look(&look)),
            Step::Now(look) => self.look(&look),
            Step::Stays(look) => self.stays(&look),
            Step::Gone(of) => self.gone(&of),
            Step::Log(log) => self.log(&log),
            Step::Exec(exec) => self.exec(&exec),
            Step::Kubectl(line) => self.kubectl(&line),
            Step::Node(line) => try_shell(&line, || shell(&line.sh)),
            Step::Outside(line) => {
                let outside = self.cluster.outside();
                try_shell(&line, || outside.run(|| shell(&line.sh)))
            }
            Step::Patch(patch) => self.patch(&patch),
            Step::Update(update) => self.update(&update),
            Step::Call(call) => {
                until(call.within.map_or(Duration::ZERO, Duration::from_secs_f64), || {
                    self.any(&call)
                })
            }
            Step::Delete(delete) => self.delete(&delete),
            Step::Keep(keep) => self.keep(&keep),
        }
    }

    pub(crate) fn path(&self, of: &str) -> String {
        path(&self.namespace, of)
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.cluster.call(method, path, "application/json", body)
    }

    /// An object as it is.
    pub(crate) fn get(&self, of: &str) -> Outcome<Value> {
        let reply = self.call("GET", &self.path(of), None);
        reply.code(200).map(Reply::json)
    }

    pub(crate) fn create(&self, object: &Value) -> Outcome {
        let mut object = whole(object);
        if object["apiVersion"].is_null() {
            object["apiVersion"] = json!(version(object["kind"].as_str().unwrap_or_default()));
        }
        let place = place(&self.namespace, &object);
        self.call("POST", &place, Some(&object)).code(201).map(drop)
    }

    pub(crate) fn pod(&self, short: &Value) -> Outcome {
        let then =
            serde_json::from_value::<Then>(short.clone()).map_err(|error| error.to_string())?;
        let pod = pod(short);
        let reply = self.call("POST", &self.path("pods"), Some(&pod));
        reply.code(then.code.unwrap_or(201))?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let of = format!("pods/{name}");
        if then.ready {
            let is_ready = [("/status/conditions/type=Ready/status".to_owned(), json!("True"))];
            let look = Look { of: of.clone(), want: is_ready.into(), within: None };
            until(PATIENCE, || self.look(&look))?;
        }
        let phase = then.ends.or_else(|| then.says.is_some().then(|| "Succeeded".to_owned()));
        if let Some(phase) = phase {
            until(PATIENCE, || {
                let pod = self.get(&of)?;
                let other = ["Succeeded", "Failed"].into_iter().find(|end| *end != phase);
                assert!(
                    pod["status"]["phase"] != other.unwrap_or_default(),
                    "it ended otherwise: {}",
                    pod["status"]
                );
                let want = BTreeMap::from([("/status/phase".to_owned(), json!(phase))]);
                judge(&want, &pod)
            })?;
        }
        match then.says {
            Some(want) => {
                let first = pod["spec"]["containers"][0]["name"].as_str().map(str::to_owned);
                let c = then.from.or(first);
                self.log(&Log {
                    of: name.to_owned(),
                    c,
                    options: String::new(),
                    want,
                    within: Some(5.0),
                })
            }
            None => Ok(()),
        }
    }

    pub(crate) fn look(&self, look: &Look) -> Outcome {
        judge(&look.want, &self.get(&look.of)?)
    }

    fn stays(&self, look: &Look) -> Outcome {
        let (begun, patience) = (Instant::now(), patience(look.within));
        while begun.elapsed() < patience {
            self.look(look).map_err(|wrong| format!("after {:.1?}: {wrong}", begun.elapsed()))?;
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    pub(crate) fn gone(&self, of: &str) -> Outcome {
        let path = self.path(of);
        until(PATIENCE, || self.call("GET", &path, None).code(404).map(drop))
    }

    fn log(&self, log: &Log) -> Outcome {
        let container = log.c.as_ref().map(|c| format!("&container={c}")).unwrap_or_default();
        let path = self.path(&format!("pods/{}/log?{}{container}", log.of, log.options));
        until(patience(log.within), || {
            let reply = self.call("GET", &path, None);
            log.want.judge(&reply.code(200)?.text)
        })
    }

    fn exec(&mut self, exec: &Exec) -> Outcome {
        let said = until(exec.within.map_or(Duration::ZERO, Duration::from_secs_f64), || {
            let mut words = vec!["exec".to_owned(), exec.of.clone()];
            words.extend(exec.c.iter().flat_map(|c| ["-c".to_owned(), c.clone()]));
            words.extend(["--", "sh", "-c", &exec.sh].map(str::to_owned));
            said(&self.cluster.kubectl(&self.namespace, &words, None), exec.code, &exec.want)
        })?;
        if let Some(name) = &exec.keep {
            self.with.insert(name.clone(), json!(said.trim()));
        }
        Ok(())
    }

    fn kubectl(&self, line: &Kubectl) -> Outcome {
        until(line.within.map_or(Duration::ZERO, Duration::from_secs_f64), || {
            let words = line.run.all();
            let output = self.cluster.kubectl(&self.namespace, &words, line.stdin.as_deref());
            said(&output, line.code, &line.want).map(drop)
        })
    }

    fn patch(&self, patch: &Patch) -> Outcome {
        let (kind, body) = match (&patch.merge, &patch.json, &patch.strategic) {
            (Some(body), None, None) => ("application/merge-patch+json", body),
            (None, Some(body), None) => ("application/json-patch+json", body),
            (None, None, Some(body)) => ("application/strategic-merge-patch+json", body),
            _ => return Err("a patch is of one kind".to_owned()),
        };
        let reply = self.cluster.call("PATCH", &self.path(&patch.of), kind, Some(body));
        judge(&patch.want, &reply.code(patch.code.unwrap_or(200))?.json())
    }

    pub(crate) fn update(&self, update: &Update) -> Outcome {
        let to = self.path(update.at.as_ref().unwrap_or(&update.of));
        until(PATIENCE, || {
            let mut object = self.get(&update.of)?;
            for (path, value) in &update.set {
                put(&mut object, path, value.clone());
            }
            let reply = self.call("PUT", &to, Some(&object));
            // Another was faster.
            if reply.code == 409 {
                return Err(reply.text);
            }
            let judged = reply.code(200).and_then(|reply| judge(&update.want, &reply.json()));
            Ok(judged)
        })?
    }

    fn any(&self, call: &Call) -> Outcome {
        let reply = self.call(&call.method, &self.path(&call.of), call.body.as_ref());
        reply.code(call.code.unwrap_or(200))?;
        call.text.judge(&reply.text)?;
        judge(&call.want, &reply.json())
    }

    fn delete(&self, delete: &Delete) -> Outcome {
        let reply = self.call("DELETE", &self.path(&delete.of), delete.options.as_ref());
        if !(200..300).contains(&reply.code) {
            return Err(format!("{}: {}", reply.code, reply.text));
        }
        if delete.wait { self.gone(&delete.of) } else { Ok(()) }
    }

    fn keep(&mut self, keep: &Keep) -> Outcome {
        let object = self.get(&keep.of)?;
        let value =
            at(&object, &keep.path).ok_or_else(|| format!("no {} in {object}", keep.path))?;
        self.with.insert(keep.name.clone(), value.clone());
        Ok(())
    }

    /// All that is known of its pods, for who looks for what is wrong.
    pub(crate) fn described(&self) -> String {
        let mut all = String::new();
        for words in ["describe pods", "get all,endpointslices -o wide", "get events"] {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let output = self.cluster.kubectl(&self.namespace, &words, None);
            all += &String::from_utf8_lossy(&output.stdout);
        }
        let Ok(pods) = self.get("pods") else { return all };
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            for kind in ["initContainers", "containers"] {
                for one in pod["spec"][kind].as_array().into_iter().flatten() {
                    let c = one["name"].as_str().unwrap_or_default();
                    let path = self.path(&format!("pods/{name}/log?container={c}&tailLines=50"));
                    all += "--- log of ";
                    all += &[
                        name,
                        " ",
                        c,
                        ":
",
                        &self.call("GET", &path, None).text,
                        "
",
                    ]
                    .concat();
                }
            }
        }
        all
    }

    /// Its namespace goes, and nobody waits for that.
    pub(crate) fn end(&self) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        drop(self.call("DELETE", &path, None));
    }
}

impl Reply {
    /// Itself, if it has this code.
    pub(crate) fn code(&self, code: u16) -> Outcome<&Self> {
        if self.code == code {
            return Ok(self);
        }
        Err(format!("should be answered with {code}, but {}: {}", self.code, self.text))
    }
}

/// Runs a line of a shell until it says what it should.
fn try_shell(line: &Shell, run: impl Fn() -> Output) -> Outcome {
    until(line.within.map_or(Duration::ZERO, Duration::from_secs_f64), || {
        said(&run(), line.code, &line.want).map(drop)
    })
}

fn patience(within: Option<f64>) -> Duration {
    within.map_or(PATIENCE, Duration::from_secs_f64)
}

/// What a process printed, if it ended as it should.
pub(crate) fn said(output: &Output, code: i32, want: &Text) -> Outcome<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if output.status.code() != Some(code) {
        return Err(format!("should end with {code}, but {}:\n{out}{err}", output.status));
    }
    // What went wrong as it should is said on the other stream.
    let all = if code == 0 { out } else { out + &err };
    want.judge(&all)?;
    Ok(all)
}
