// The numbers of the render specification, version 1. Nothing else repeats them; the Python side is held to
// these by a test.
#pragma once

namespace gsdd {

// Below this alpha a sample is dropped: one step of an 8-bit image. And how often it is 1 halved.
inline constexpr float kAlphaThreshold = 1.0f / 255.0f;
inline constexpr float kThresholdBits = 7.9943534368588578f;
// Alpha is clipped here; the gradient does not pass the clip.
inline constexpr float kAlphaLimit = 1.0f;
// Added to both diagonal entries of the Cholesky factor, in native pixels.
inline constexpr float kCholeskyBias = 0.5f;
// Variance of a unit pixel's area: the prefilter added to the covariance, in square output pixels.
inline constexpr double kPixelVariance = 1.0 / 12.0;
// Samples per pixel and axis, unless asked for otherwise.
inline constexpr int kDefaultSupersample = 2;
// Numbers of one Gaussian that are not its colour: x, y, l11, l21, l22, opacity.
inline constexpr int kShapeParameters = 6;
// Places of a Gaussian's numbers; the opacity stands behind the last colour.
enum : int { kX, kY, kL11, kL21, kL22, kColor };

// Limits of the launchers, checked before any memory is touched.
inline constexpr int kMaxSide = 16384;
inline constexpr int kMaxSupersample = 8;
inline constexpr int kMaxChannels = 4;

}  // namespace gsdd
