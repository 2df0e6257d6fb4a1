"""Every operation of the unmodified SDK, once: one JSON object a line, {"op", "method", "status", "code"} or
{"op", "crash"}.

Those that read are asked for what is there, by the ids of a file: {"loadbalancer_id": ...}, or of one operation,
{OPERATION: {"pool_id": ...}}. Those that change something have bodies of the SDK's own models, filled with values of
the right type that name nothing.

Arguments: endpoint, access key, secret key, project, the table of operations, the file of ids.
"""

import json
import re
import sys

import huaweicloudsdkelb.v3 as elb
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkelb.v3.elb_client import ElbClient

endpoint, access, secret, project, table, given = sys.argv[1:]
config = HttpConfig.get_default_config()
config.timeout = (3, 30)
client = (
    ElbClient.new_builder()
    .with_http_config(config)
    .with_credentials(BasicCredentials(access, secret, project))
    .with_endpoints([endpoint])
    .build()
)
requests = {name.lower(): getattr(elb, name) for name in dir(elb) if name.endswith("Request")}
with open(given) as file:
    ids = json.load(file)
with open(table) as file:
    operations = json.load(file)["operations"]


def filled(kind):
    """A value of a type of the SDK; models have what their constructors must be given."""
    inner = re.fullmatch(r"list\[(.*)\]", kind)
    if inner:
        return [filled(inner.group(1))]
    plain = {"str": "x1", "int": 2, "bool": True, "object": {}, "float": 2.0}
    if kind in plain:
        return plain[kind]
    model = getattr(elb, kind)()
    for name, of in model.openapi_types.items():
        if of != kind:
            setattr(model, name, filled(of))
    return model


def made(op, operation):
    reads = operation["method"] == "GET"
    request = requests[op.replace("_", "") + "request"]
    values = {}
    for name, kind in request.openapi_types.items():
        in_path = "{%s}" % request.attribute_map[name] in operation["path"]
        if name == "body":
            values[name] = filled(kind)
        elif in_path:
            values[name] = ids.get(op, ids).get(name, "x1") if reads else "x1"
    return request(**values)


for op, operation in operations.items():
    line = {"op": op, "method": operation["method"]}
    try:
        response = getattr(client, op)(made(op, operation))
        str(response)
        line["status"] = response.status_code
    except SdkException as error:
        line["status"] = getattr(error, "status_code", None)
        line["code"] = getattr(error, "error_code", None)
        line["message"] = error.error_msg
    except Exception as error:  # what a script of the cloud would end with
        line["crash"] = repr(error)
    print(json.dumps(line), flush=True)
