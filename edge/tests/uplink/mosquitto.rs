//! A real broker: Mosquitto with the configuration that ships, and as it comes.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rumqttc::{
    AsyncClient, Broker as Address, Event, IncomingPacketSizeLimit, MqttOptions, Packet,
    PublishNoticeError, PublishOptions, QoS, TlsConfiguration, Transport,
    mqttbytes::v5::PubAckReason,
};
use tokio::{net::TcpStream, process::Command, sync::mpsc, time::timeout};

use crate::{
    certificates::{Authority, Identity},
    cloud::Cloud,
    mqtt::Message,
    rig::{BULK, PATIENCE, Rig, Uplink, encrypted, noise},
};

/// The program, where it is installed; Debian puts it where not everybody looks.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("skipped: no mosquitto");
    }
    found
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A broker that runs, and ends with this.
struct Mosquitto {
    program: PathBuf,
    folder: tempfile::TempDir,
    ports: Vec<u16>,
    child: tokio::process::Child,
}

impl Mosquitto {
    /// Runs with the files in the folder, of which `mosquitto.conf` is one; returns when it listens on these ports.
    async fn start(program: PathBuf, folder: tempfile::TempDir, ports: Vec<u16>) -> Self {
        // Started as root it gives up its rights, and has to read and write here all the same.
        let open = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        open(folder.path(), 0o777);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            open(&entry.unwrap().path(), 0o644);
        }
        let child = Self::spawn(&program, folder.path());
        let mut broker = Self {
            program,
            folder,
            ports,
            child,
        };
        broker.listens().await;
        broker
    }

    fn spawn(program: &Path, folder: &Path) -> tokio::process::Child {
        Command::new(program)
            .arg("-c")
            .arg(folder.join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn listens(&mut self) {
        let up = async {
            for port in &self.ports {
                while TcpStream::connect(("127.0.0.1", *port)).await.is_err() {
                    assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        timeout(PATIENCE, up).await.expect("it does not listen");
    }

    /// Ends it without a warning, and starts it again.
    async fn restart(&mut self) {
        self.child.kill().await.unwrap();
        self.child = Self::spawn(&self.program, self.folder.path());
        self.listens().await;
    }
}

/// The configuration that ships, with certificates of a test.
pub(crate) struct House {
    broker: Mosquitto,
    pub(crate) gateways: Authority,
    cloud: Authority,
    gateway_door: u16,
    cloud_door: u16,
}

impl House {
    pub(crate) async fn start(program: PathBuf) -> Self {
        let (gateways, cloud) = (Authority::new("Gateways"), Authority::new("Cloud"));
        let server = cloud.server();
        let folder = tempfile::tempdir().unwrap();
        let (gateway_door, cloud_door) = (free_port(), free_port());
        let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/mosquitto");
        let config = std::fs::read_to_string(shipped.join("mosquitto.conf")).unwrap();
        let mut here = config.clone();
        for (shipped, here_instead) in [
            ("/etc/patio/mosquitto", folder.path().to_str().unwrap()),
            ("/var/lib/mosquitto", folder.path().to_str().unwrap()),
            ("listener 8883", &format!("listener {gateway_door}")),
            ("listener 8884", &format!("listener {cloud_door}")),
        ] {
            assert!(here.contains(shipped), "{shipped}");
            here = here.replace(shipped, here_instead);
        }
        let acl = std::fs::read_to_string(shipped.join("acl")).unwrap();
        for (name, content) in [
            ("mosquitto.conf", &here),
            ("acl", &acl),
            ("gateways-ca.pem", &gateways.pem()),
            ("cloud-ca.pem", &cloud.pem()),
            ("server.pem", &server.certificate),
            ("server.key", &server.key),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let ports = vec![gateway_door, cloud_door];
        Self {
            broker: Mosquitto::start(program, folder, ports).await,
            gateways,
            cloud,
            gateway_door,
            cloud_door,
        }
    }

    /// The way to the door for gateways.
    pub(crate) fn link(&self, identity: Option<&Identity>) -> edge::uplink::Link {
        let client = identity.map(|identity| (&*identity.certificate, &*identity.key));
        encrypted(self.gateway_door, &self.cloud.pem(), client)
    }

    fn uplink(&self, rig: &Rig, cloud: &Cloud, identity: Option<&Identity>) -> Uplink {
        let options = rig.options(self.link(identity), cloud);
        Uplink::start(options, rig.buffer.clone())
    }

    async fn client(&self, port: u16, id: &str, identity: &Identity, filters: &[&str]) -> Client {
        let tls = TlsConfiguration::Simple {
            ca: self.cloud.pem().into(),
            alpn: None,
            client_auth: Some((
                identity.certificate.clone().into(),
                identity.key.clone().into(),
            )),
        };
        let mut options = MqttOptions::new(id, Address::tcp("localhost", port));
        options.set_transport(Transport::tls_with_config(tls));
        Client::connect(options, filters).await
    }

    /// An ingestor's connection; it hears all gateways.
    pub(crate) async fn ingestor(&self) -> Client {
        let identity = self.cloud.client("ingest.patio");
        self.client(self.cloud_door, "ingestor", &identity, &["patio/1/+/up/#"])
            .await
    }
}

/// A connected client of somebody else.
pub(crate) struct Client {
    client: AsyncClient,
    messages: mpsc::Receiver<Message>,
    poll: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

impl Client {
    async fn connect(mut options: MqttOptions, filters: &[&str]) -> Self {
        options.set_incoming_packet_size_limit(IncomingPacketSizeLimit::Unlimited);
        let (client, mut event_loop) = AsyncClient::builder(options).capacity(1000).build();
        for filter in filters {
            client.try_subscribe(*filter, QoS::AtLeastOnce).unwrap();
        }
        let (report, messages) = mpsc::channel(10_000);
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let mut waiting = filters.len();
        let poll = tokio::spawn(async move {
            let mut ready = Some(ready);
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {}
                    Ok(Event::Incoming(Packet::SubAck(_))) => waiting -= 1,
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let message = Message {
                            topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                            qos: 1,
                            id: publish.pkid,
                            payload: publish.payload.to_vec(),
                        };
                        report.send(message).await.unwrap();
                    }
                    Ok(_) => continue,
                    Err(_) => return,
                }
                if waiting == 0
                    && let Some(ready) = ready.take()
                {
                    ready.send(()).unwrap();
                }
            }
        });
        timeout(PATIENCE, is_ready)
            .await
            .expect("not connected")
            .expect("refused");
        Self {
            client,
            messages,
            poll,
        }
    }

    pub(crate) async fn publish(
        &self,
        topic: &str,
        payload: &[u8],
    ) -> Result<(), PublishNoticeError> {
        let options = PublishOptions::at_least_once();
        let notice = self
            .client
            .publish_tracked(topic, payload.to_vec(), options);
        let notice = notice.await.unwrap();
        timeout(PATIENCE, notice.wait_completion_async())
            .await
            .expect("no PUBACK")
    }

    pub(crate) async fn message(&mut self) -> Message {
        timeout(PATIENCE, self.messages.recv())
            .await
            .expect("no message")
            .expect("the connection has ended")
    }

    /// Answers gateways until its connection ends.
    async fn ingest(mut self, cloud: Arc<Cloud>) {
        while let Some(message) = self.messages.recv().await {
            for word in cloud.hear(&message) {
                let options = PublishOptions::at_least_once();
                self.client
                    .publish(cloud.topic(), word, options)
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test]
async fn over_mutual_tls_all_blocks_arrive_and_the_broker_may_be_killed_in_between() {
    let Some(program) = program() else { return };
    let mut house = House::start(program).await;
    let rig = Rig::new();
    rig.fill(60).await;
    let cloud = Arc::new(rig.cloud());
    let identity = house.gateways.client(rig.gateway.as_str());
    let ingest = tokio::spawn(house.ingestor().await.ingest(cloud.clone()));
    let mut uplink = house.uplink(&rig, &cloud, Some(&identity));
    rig.emptied().await;
    house.broker.restart().await;
    timeout(PATIENCE, ingest).await.unwrap().unwrap();
    tokio::spawn(house.ingestor().await.ingest(cloud.clone()));
    rig.fill(60).await;
    rig.emptied().await;
    let report = uplink.until(|report| report.connections == 2).await;
    assert_eq!(report.refused_messages, 0);
    assert_eq!(cloud.hellos().len(), 2);
    let totals = rig.balanced();
    assert_eq!(
        totals.iter().map(|totals| totals.acknowledged).sum::<u64>(),
        120
    );
    uplink.stop().await;
}

#[tokio::test]
async fn a_gateway_has_the_rights_of_its_certificates_name_and_no_others() {
    let Some(program) = program() else { return };
    let house = House::start(program).await;
    let rig = Rig::new();
    let cloud = Arc::new(rig.cloud());
    let identity = house.gateways.client(rig.gateway.as_str());
    let mut ingestor = house.ingestor().await;
    let mut uplink = house.uplink(&rig, &cloud, Some(&identity));
    uplink.until(|report| report.connected).await;
    assert_eq!(ingestor.message().await.topic, "patio/1/depot-1/up/hello");

    // Another gateway, under the first one's client id, wants to hear everything.
    let other = house.gateways.client("depot-2");
    let everything = [
        "#",
        "patio/1/depot-1/down/ack",
        "patio/1/+/up/#",
        "patio/1/depot-2/down/#",
    ];
    let mut intruder = house
        .client(
            house.gateway_door,
            "patio-gateway-depot-1",
            &other,
            &everything,
        )
        .await;
    let denied = Err(PublishNoticeError::V5PubAck(PubAckReason::NotAuthorized));
    for topic in [
        "patio/1/depot-1/up/live",
        "patio/1/depot-1/down/ack",
        "patio/1/depot-2/down/ack",
        "patio/1/x",
    ] {
        assert_eq!(intruder.publish(topic, b"forged").await, denied, "{topic}");
    }
    intruder
        .publish("patio/1/depot-2/up/live", b"its own")
        .await
        .unwrap();
    assert_eq!(ingestor.message().await.payload, b"its own");
    ingestor
        .publish("patio/1/depot-1/down/ack", b"for the first")
        .await
        .unwrap();
    ingestor
        .publish("patio/1/depot-2/down/ack", b"for the second")
        .await
        .unwrap();
    assert_eq!(
        ingestor.publish("patio/1/depot-1/up/live", b"forged").await,
        denied,
        "an ingestor does not speak for a gateway"
    );
    assert_eq!(intruder.message().await.payload, b"for the second");
    // The first gateway has heard its message, which is not the cloud's word, and nobody took its place.
    let report = uplink.until(|report| report.refused_messages == 1).await;
    assert_eq!((report.connected, report.connections), (true, 1));
    uplink.stop().await;
}

#[tokio::test]
async fn without_a_certificate_of_the_right_authority_nobody_comes_in() {
    let Some(program) = program() else { return };
    let house = House::start(program).await;
    let rig = Rig::new();
    let cloud = rig.cloud();
    let (namesake, stranger) = (Authority::new("Gateways"), Authority::new("Strangers"));
    let identities = [
        ("none", None),
        ("of a namesake", Some(namesake.client("depot-1"))),
        ("of a stranger", Some(stranger.client("depot-1"))),
        ("expired", Some(house.gateways.expired_client("depot-1"))),
        ("of the other door", Some(house.cloud.client("depot-1"))),
    ];
    for (which, identity) in identities {
        let mut uplink = house.uplink(&rig, &cloud, identity.as_ref());
        let report = uplink.until(|report| report.last_error.is_some()).await;
        let said = report.last_error.unwrap();
        assert!(
            said.contains("does not accept our certificate"),
            "{which}: {said}"
        );
        assert_eq!(uplink.stop().await.connections, 0, "{which}");
    }
    // And we do not go in where the broker is not the right one.
    let client = house.gateways.client("depot-1");
    let client = Some((&*client.certificate, &*client.key));
    let link = encrypted(house.gateway_door, &stranger.pem(), client);
    let mut uplink = Uplink::start(rig.options(link, &cloud), rig.buffer.clone());
    let report = uplink.until(|report| report.last_error.is_some()).await;
    let said = report.last_error.unwrap();
    assert!(said.contains("invalid peer certificate"), "{said}");
    assert_eq!(uplink.stop().await.connections, 0);
}

/// As it comes, with a limit that one block is over.
#[tokio::test]
async fn a_plain_broker_with_a_small_packet_size_takes_all_but_the_long_block() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 2000\n");
    std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
    let _broker = Mosquitto::start(program, folder, vec![port]).await;
    let rig = Rig::new();
    rig.fill(50).await;
    rig.seal(BULK, noise(1, 2000)).await;
    rig.fill(50).await;
    let cloud = Arc::new(rig.cloud());
    let options = MqttOptions::new("ingestor", Address::tcp("127.0.0.1", port));
    let ingestor = Client::connect(options, &["patio/1/+/up/#"]).await;
    tokio::spawn(ingestor.ingest(cloud.clone()));
    let uplink = rig.uplink(port, &cloud);
    let mut state = rig.buffer.state();
    let rest = async {
        while rig.held().await.len() > 1 {
            state.changed().await.unwrap();
        }
    };
    timeout(PATIENCE, rest).await.expect("blocks are left");
    let report = uplink.stop().await;
    assert_eq!((report.oversize, report.connections), (1, 1), "{report:?}");
}

/// It keeps nothing on disk, acknowledges what nobody listens to, and is wiped right after that.
#[tokio::test]
async fn what_a_broker_has_acknowledged_and_forgotten_is_sent_again() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
    std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
    let mut broker = Mosquitto::start(program, folder, vec![port]).await;
    let rig = Rig::new();
    rig.fill(40).await;
    let held = rig.held().await.len();
    let cloud = Arc::new(rig.cloud());
    let mut uplink = rig.uplink(port, &cloud);
    for wiped in 1..=2 {
        let all = wiped * held as u64;
        uplink.until(|report| report.published >= all).await;
        broker.restart().await;
    }
    assert_eq!(rig.held().await.len(), held);
    let options = MqttOptions::new("ingestor", Address::tcp("127.0.0.1", port));
    let ingestor = Client::connect(options, &["patio/1/+/up/#"]).await;
    tokio::spawn(ingestor.ingest(cloud.clone()));
    rig.emptied().await;
    assert_eq!(cloud.blocks().len(), held);
    uplink.stop().await;
}
