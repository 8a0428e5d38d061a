// Every interface of both plugins, called as TensorRT calls it, with good and with bad arguments.
#include "checks.h"

namespace host {

int check_interfaces(Library& library, LoggerFinder& finder) {
  Checks check{finder};
  check.that(library.creators.size() == 2 && library.creators.count("GaussianSplat") == 1 &&
                 library.creators.count("GaussianSplatGrad") == 1,
             "the library has the two creators");
  if (check.failures != 0) return 1;
  check_identity(check, *library.creators["GaussianSplat"], kSplat);
  check_identity(check, *library.creators["GaussianSplatGrad"], kSplatGrad);
  check_fields(check, *library.creators["GaussianSplat"], kSplat);
  check_fields(check, *library.creators["GaussianSplatGrad"], kSplatGrad);
  Attributes int_type = kSplat;
  int_type.back().second = 7;
  check.refused([&] { return create(*library.creators["GaussianSplat"], int_type) != nullptr; }, "'dtype' must be",
                "GaussianSplat of int64 images");
  check_shapes(check, library);
  check_types(check, library);
  check_enqueue_refusals(check, library);
  check_logger(check, library);
  std::printf("%d failures\n", check.failures);
  return check.failures == 0 ? 0 : 1;
}

}  // namespace host
