"""Calls of the unmodified SDK, one JSON object a line: {"op", "args", "body"} in, what came of it out.

Arguments: endpoint, access key, secret key, project, and perhaps the version (v2; v3 if it is not given).
"""

import importlib
import json
import sys

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from huaweicloudsdkcore.http.http_config import HttpConfig

endpoint, access, secret, project, *version = sys.argv[1:]
elb = importlib.import_module(f"huaweicloudsdkelb.{version[0] if version else 'v3'}")
config = HttpConfig.get_default_config()
config.timeout = (3, 30)
client = (
    elb.ElbClient.new_builder()
    .with_http_config(config)
    .with_credentials(BasicCredentials(access, secret, project))
    .with_endpoints([endpoint])
    .build()
)
requests = {name.lower(): getattr(elb, name) for name in dir(elb) if name.endswith("Request")}


def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    return plain_object(value) if hasattr(value, "openapi_types") else value


def plain_object(model):
    return {name: plain(getattr(model, name)) for name in model.openapi_types}


for line in sys.stdin:
    call = json.loads(line)
    request = requests[call["op"].replace("_", "") + "request"](**call.get("args", {}))
    if "body" in call:
        request.body = call["body"]
    try:
        response = getattr(client, call["op"])(request)
        reply = {"status": response.status_code, "reply": plain_object(response)}
    except SdkException as error:
        reply = {
            "status": getattr(error, "status_code", None),
            "code": getattr(error, "error_code", None),
            "message": error.error_msg,
            "request_id": getattr(error, "request_id", None),
        }
    print(json.dumps(reply, default=str), flush=True)
