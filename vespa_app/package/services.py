"""Write services.xml and hosts.xml for one or many machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from vespa.configuration import services as xml
from vespa.configuration.vt import VT, vt
from vespa.package import ServicesConfiguration

from encoders.model.manifest import Manifest
from ranking.names import encoder_names
from vespa_app.package.names import SCHEMA_NAME
from vespa_app.package.options import ClusterOptions, PackageOptions

__all__ = ["hosts_xml", "model_folder", "services_configuration"]


def model_folder(manifest: Manifest) -> str:
    """Where the package keeps this encoder's text tower and tokenizer."""
    return f"models/{encoder_names(manifest.fingerprint).short}"


def services_configuration(
    encoders: Sequence[Manifest], options: PackageOptions
) -> ServicesConfiguration:
    """A container cluster with the embedders, and a content cluster for the documents."""
    embedders = [_embedder(m) for m in encoders] if options.embedding == "vespa" else []
    cluster = options.cluster
    root = xml.services(
        *([] if cluster.single else [_admin(cluster)]),
        _container(embedders, cluster),
        _content(cluster),
        version="1.0",
    )
    return ServicesConfiguration(application_name=options.name, services_config=root)


def hosts_xml(cluster: ClusterOptions) -> str | None:
    """Aliases of all machines; None if there is only one, which needs no such file."""
    if cluster.single:
        return None
    lines = [
        f"  <host name={quoteattr(name)}>\n    <alias>{escape(alias)}</alias>\n  </host>\n"
        for alias, name in _hosts(cluster)
    ]
    return '<?xml version="1.0" encoding="UTF-8"?>\n<hosts>\n' + "".join(lines) + "</hosts>\n"


def _hosts(cluster: ClusterOptions) -> Iterator[tuple[str, str]]:
    counts = {
        "config": cluster.config_servers,
        "container": cluster.containers,
        "content": cluster.nodes,
    }
    for role, count in counts.items():
        for number in range(count):
            name = cluster.host.replace("{role}", role).replace("{number}", str(number))
            yield f"{role}{number}", name


def _admin(cluster: ClusterOptions) -> VT:
    servers = [
        xml.configserver(hostalias=f"config{number}") for number in range(cluster.config_servers)
    ]
    controllers = [
        xml.cluster_controller(hostalias=f"config{number}")
        for number in range(cluster.config_servers)
    ]
    return xml.admin(
        xml.configservers(*servers),
        vt("cluster-controllers", *controllers),
        xml.adminserver(hostalias="config0"),
        version="2.0",
    )


def _container(embedders: Sequence[VT], cluster: ClusterOptions) -> VT:
    aliases = ["node1"] if cluster.single else [f"container{n}" for n in range(cluster.containers)]
    return xml.container(
        xml.search(),
        xml.document_api(),
        xml.document_processing(),
        *embedders,
        xml.nodes(*(xml.node(hostalias=alias) for alias in aliases)),
        id="default",
        version="1.0",
    )


def _embedder(manifest: Manifest) -> VT:
    """The text tower as a component.

    https://docs.vespa.ai/en/rag/embedding.html#huggingface-embedder
    The model pools and normalises by itself, so Vespa does neither.
    """
    folder = model_folder(manifest)
    return xml.component(
        xml.transformer_model(path=f"{folder}/text.onnx"),
        xml.tokenizer_model(path=f"{folder}/tokenizer.json"),
        xml.max_tokens(str(manifest.max_tokens)),
        xml.transformer_input_ids("input_ids"),
        xml.transformer_attention_mask("attention_mask"),
        xml.transformer_token_type_ids(),
        xml.transformer_output("text_embedding"),
        xml.pooling_strategy("none"),
        xml.normalize("true" if manifest.normalized else "false"),
        id=encoder_names(manifest.fingerprint).embedder,
        type="hugging-face-embedder",
    )


def _content(cluster: ClusterOptions) -> VT:
    parts: list[VT] = [
        xml.redundancy(str(cluster.redundancy)),
        xml.documents(xml.document(type=SCHEMA_NAME, mode="index")),
        _content_nodes(cluster),
    ]
    searchable = xml.searchable_copies(str(cluster.redundancy))
    threads = (
        [xml.tuning(xml.searchnode(xml.requestthreads(xml.persearch(str(cluster.threads)))))]
        if cluster.threads
        else []
    )
    parts.append(xml.engine(xml.proton(searchable, *threads)))
    tuning = list(_tuning(cluster))
    if tuning:
        parts.append(xml.tuning(*tuning))
    return xml.content(*parts, id="images", version="1.0")


def _tuning(cluster: ClusterOptions) -> Iterator[VT]:
    if cluster.groups > 1:
        # A group that lost a node holds part of the corpus: let a whole one answer.
        yield xml.min_node_ratio_per_group("1")
    disk, memory = cluster.disk_limit, cluster.memory_limit
    limits = [xml.disk(f"{disk:g}")] if disk is not None else []
    limits += [xml.memory(f"{memory:g}")] if memory is not None else []
    if limits:
        yield xml.resource_limits(*limits)


def _content_nodes(cluster: ClusterOptions) -> VT:
    if cluster.single:
        return xml.nodes(_node(0, "node1"))
    nodes = [_node(number, f"content{number}") for number in range(cluster.nodes)]
    if cluster.groups == 1:
        return xml.nodes(*nodes)
    size, copies = cluster.nodes_per_group, cluster.copies_per_group
    groups = [
        xml.group(
            *nodes[number * size : (number + 1) * size],
            name=f"group{number}",
            distribution_key=str(number),
        )
        for number in range(cluster.groups)
    ]
    partitions = "|".join([str(copies)] * (cluster.groups - 1) + ["*"])
    return xml.group(xml.distribution(partitions=partitions), *groups)


def _node(key: int, alias: str) -> VT:
    return xml.node(distribution_key=str(key), hostalias=alias)
