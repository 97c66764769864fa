// The one include of the Node-API wrapper; NAPI_VERSION and NAPI_CPP_EXCEPTIONS come from sources.json.
#pragma once

#include <napi.h>
